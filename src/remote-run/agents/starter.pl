# Starts agents for the relay: a process of its own, and a small one, since starting a process means copying the page
# tables of who starts it. That takes one of the relay's size several milliseconds, a small one of node's half a
# millisecond, and this one less than a third of that. Where there is no perl, `spawner.mjs` does the same.
#
# It also outlives the relay for as long as it takes to end the agents that a relay leaves which was killed: then it
# starts the guard, `guard.mjs`, and again where a signal ends that one before it is done.
#
# The relay has this text in it, and gives it to perl as an argument. What is said on stdin and stdout: see
# `SpawnerProtocol.ts`.
use strict;
use Fcntl qw(F_SETFL O_NONBLOCK O_WRONLY);
use POSIX ();

# What a list of processes shows.
$0 = "rudder-relay-spawner";

# Ctrl-C on the relay's terminal, or a signal to its whole group, is the relay's to answer. An agent has none of these.
$SIG{$_} = sub { } for qw(INT TERM HUP QUIT USR1 USR2 ALRM PIPE CHLD);

# How many agents are started between two looks at what has ended, and at whether the relay is gone.
my $starts_at_once = 8;
# A signal that comes right before the wait does not end it: so long the news of an end may take then. Seconds.
my $patience = 0.1;

# So often a guard is begun. It has handlers for signals once node is up and not before: what ends it then, ends it.
my $guards = 20;

# The exit code of a child that could not become its program. That of a program, too, maybe.
my $not_become = 127;

my ($node, $grace, $guard);
# By process id: id (undefined: another process has started it), cookie, mark.
my %agents;
my $input = "";
my @orders;
my $answers = "";

open my $nothing, "<", "/dev/null" or die "/dev/null: $!";
# What a child says that can't become its program.
pipe my $failures, my $failing or die "pipe: $!";
fcntl $failures, F_SETFL, O_NONBLOCK or die "fcntl: $!";
my %failed;

sub failure { my ($id, $syscall) = @_; $answers .= sprintf "F %d %d %s\n", $id, $!, $syscall }

# Opened while the relay reads it: else the open fails, and does not wait.
sub fifo {
  my ($path) = @_;
  sysopen my $end, $path, O_WRONLY | O_NONBLOCK or return;
  # Blocks the agent while the pipe is full.
  fcntl $end, F_SETFL, 0 or return;
  return $end;
}

sub become {
  my ($id, $cookie, $mark, $ends, @command) = @_;
  my $fail = sub { syswrite $failing, sprintf "%d %d %s\n", $id, $!, $_[0]; POSIX::_exit($not_become) };
  defined POSIX::setsid() or $fail->("setsid");
  my $at = 0;
  for my $end ($nothing, @$ends) { defined POSIX::dup2(fileno $end, $at++) or $fail->("dup2") }
  if ($mark ne "") {
    open my $filter, ">", "/proc/self/coredump_filter" or $fail->("open");
    syswrite $filter, sprintf "0x%x", $mark or $fail->("write");
    close $filter;
  }
  $ENV{LC_RUDDER_RELAY_AGENT} = $cookie;
  no warnings "exec";
  exec { $command[0] } @command or $fail->("spawn $command[0]");
}

# An order with the ends of its FIFOs; none where they can't be opened. No other agent gets them: what perl opens is closed
# where a program begins.
sub prepared {
  my ($id, $cookie, $mark, $stdout, $stderr, @command) = @{ $_[0] };
  my @ends;
  for my $path ($stdout, $stderr) {
    push @ends, fifo($path) || do { failure($id, "open"); return }
  }
  return [$id, $cookie, $mark, \@ends, @command];
}

# The forks of some orders come right after each other. After a fork each page that is written to is copied first: what is
# done between two of them costs as much as the forks.
sub start {
  my @ready = map { prepared($_) } @_;
  my @started;
  for my $order (@ready) {
    my $pid = fork;
    become(@$order) if defined $pid && $pid == 0;
    push @started, defined $pid ? $pid : -$!;
  }
  for my $order (@ready) {
    my ($id, $cookie, $mark) = @$order;
    my $pid = shift @started;
    if ($pid < 0) { $! = -$pid; failure($id, "fork"); next }
    $agents{$pid} = [$id, $cookie, $mark];
    $answers .= "S $id $pid\n";
  }
}

sub hear {
  my ($what, @said) = @_;
  if ($what eq "start") { push @orders, \@said }
  elsif ($what eq "guard") { $agents{ $said[0] } = [undef, $said[1], ""] }
  elsif ($what eq "release") { delete $agents{ $said[0] } }
  elsif ($what eq "setup") {
    ($node, $grace, $guard, my @environment) = @said;
    %ENV = map { split /=/, $_, 2 } @environment;
    chdir "/";
    $answers .= "R\n";
  }
}

# False where the relay is gone.
sub read_orders {
  for (;;) {
    my $bits = "";
    vec($bits, 0, 1) = 1;
    return 1 if select($bits, undef, undef, 0) <= 0;
    my $length = sysread STDIN, $input, 65536, length $input;
    return 0 if defined $length ? $length == 0 : !$!{EINTR};
    while (length $input >= 4) {
      my $size = unpack "N", $input;
      last if length $input < 4 + $size;
      hear(split /\0/, substr($input, 4, $size), -1);
      substr $input, 0, 4 + $size, "";
    }
  }
}

sub reap {
  while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
    my $status = $?;
    # A child that could not become its program has said so before it ended.
    while ($status >> 8 == $not_become && sysread $failures, my $said, 65536) {
      for (split /\n/, $said) { $failed{$1} = $2 if /^(\d+) (.*)/ }
    }
    my $agent = delete $agents{$pid} or next;
    my $id = $agent->[0];
    if (defined(my $why = delete $failed{$id})) { $answers .= "F $id $why\n" }
    else { $answers .= $status & 127 ? "K $id @{[$status & 127]}\n" : "E $id @{[$status >> 8]}\n" }
  }
}

# False where the relay is gone.
sub answer {
  while ($answers ne "") {
    my $length = syswrite STDOUT, $answers;
    if (defined $length) { substr $answers, 0, $length, "" }
    elsif (!$!{EINTR}) { return 0 }
  }
  return 1;
}

sub end_all {
  reap();
  POSIX::_exit(0) if !%agents;
  my @agents = map { join ":", $_, @{ $agents{$_} }[1, 2] } keys %agents;
  %ENV = ();
  for (1 .. $guards) {
    my $pid = fork;
    last if !defined $pid;
    if ($pid == 0) {
      no warnings "exec";
      exec { $node } $node, "--input-type=module", "--eval", $guard, $grace, @agents or POSIX::_exit($not_become);
    }
    while (waitpid($pid, 0) < 0) { last if !$!{EINTR} }
    POSIX::_exit(0) if $? == 0;
    last if !($? & 127);
  }
  # Where node was removed meanwhile: their groups at least.
  $SIG{CHLD} = "DEFAULT";
  kill "TERM", map { -$_ } keys %agents;
  select undef, undef, undef, $grace / 1000;
  kill "KILL", map { -$_ } keys %agents;
  POSIX::_exit(0);
}

for (;;) {
  my $bits = "";
  vec($bits, 0, 1) = 1;
  select $bits, undef, undef, @orders ? 0 : %agents ? $patience : undef;
  read_orders() or end_all();
  start(splice @orders, 0, $starts_at_once) if @orders;
  reap();
  answer() or end_all();
}
