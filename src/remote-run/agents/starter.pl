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

# Each page of this process that is not a file's costs every fork, and modules are mostly that: none is loaded for a few
# numbers, which are Linux's wherever node runs, and of POSIX only what is compiled.
sub O_WRONLY () { 1 }
sub O_NONBLOCK () { 04000 }
sub O_CLOEXEC () { 02000000 }
sub F_SETFL () { 4 }
sub WNOHANG () { 1 }
sub EINTR () { 4 }

# What is compiled is looked for beside the file that asks.
my ($folder) = grep { -e "$_/POSIX.pm" } @INC;
eval qq{# line 1 "$folder/POSIX.pm"\nrequire XSLoader; XSLoader::load("POSIX"); 1} or require POSIX;

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
# By process id: id (empty: another process has started it), cookie, mark, with a NUL between them.
my %agents;
my $input = "";
# What is said in each, NULs and all.
my @orders;
my $answers = "";

my $nothing = POSIX::open("/dev/null", O_CLOEXEC);
defined $nothing or die "/dev/null: $!";
# What a child says that can't become its program.
pipe my $failures, my $failing or die "pipe: $!";
fcntl $failures, F_SETFL, O_NONBLOCK or die "fcntl: $!";
my %failed;

sub failure { my ($id, $syscall) = @_; $answers .= sprintf "F %d %d %s\n", $id, $!, $syscall }

sub become {
  my ($id, $agent, $command, @ends) = @_;
  my (undef, $cookie, $mark) = split /\0/, $agent, -1;
  my @command = split /\0/, $command, -1;
  my $fail = sub { syswrite $failing, sprintf "%d %d %s\n", $id, $!, $_[0]; POSIX::_exit($not_become) };
  defined POSIX::setsid() or $fail->("setsid");
  my $at = 0;
  for my $end ($nothing, @ends) { defined POSIX::dup2($end, $at++) or $fail->("dup2") }
  # Block the agent while a pipe is full.
  for my $end (*STDOUT, *STDERR) { fcntl $end, F_SETFL, 0 or $fail->("fcntl") }
  if ($mark ne "") {
    open my $filter, ">", "/proc/self/coredump_filter" or $fail->("open");
    syswrite $filter, sprintf "0x%x", $mark or $fail->("write");
    close $filter;
  }
  $ENV{LC_RUDDER_RELAY_AGENT} = $cookie;
  exec { $command[0] } @command or $fail->("spawn $command[0]");
}

# An order's id, what is kept of it, its command, and the ends of its FIFOs; nothing where the relay does not read them:
# then they can't be opened. They are numbers, not perl's handles: perl writes to each of those at every fork.
sub prepared {
  my ($id, $cookie, $mark, $stdout, $stderr, $command) = split /\0/, $_[0], 6;
  my @ends;
  for my $path ($stdout, $stderr) {
    my $end = POSIX::open($path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (!defined $end) { failure($id, "open"); POSIX::close($_) for @ends; return }
    push @ends, $end;
  }
  return [$id, "$id\0$cookie\0$mark", $command, @ends];
}

# The forks of some orders come right after each other. After a fork each page that is written to is copied first: what is
# done between two of them costs as much as the forks.
sub start {
  my @ready = map { prepared($_) } @_;
  # Numbers that are there before: what is made between two forks would be written to other pages.
  my @started = (0) x @ready;
  for my $at (0 .. $#ready) {
    $started[$at] = fork;
    if (!defined $started[$at]) { $started[$at] = -$! }
    elsif ($started[$at] == 0) { become(@{ $ready[$at] }) }
  }
  for my $order (@ready) {
    my ($id, $agent, undef, @ends) = @$order;
    my $pid = shift @started;
    POSIX::close($_) for @ends;
    if ($pid < 0) { $! = -$pid; failure($id, "fork"); next }
    $agents{$pid} = $agent;
    $answers .= "S $id $pid\n";
  }
}

sub hear {
  my ($what, @said) = @_;
  if ($what eq "guard") { $agents{ $said[0] } = "\0$said[1]\0" }
  elsif ($what eq "release") { delete $agents{ $said[0] } }
  elsif ($what eq "setup") {
    ($node, $grace, $guard, my @environment) = @said;
    %ENV = map { split /=/, $_, 2 } @environment;
    chdir "/";
    $answers .= "P 0\n";
  }
  elsif ($what eq "ping") { $answers .= "P $said[0]\n" }
}

# False where the relay is gone.
sub read_orders {
  for (;;) {
    my $bits = "";
    vec($bits, 0, 1) = 1;
    return 1 if select($bits, undef, undef, 0) <= 0;
    my $length = sysread STDIN, $input, 65536, length $input;
    return 0 if defined $length ? $length == 0 : $! != EINTR;
    while (length $input >= 4) {
      my $size = unpack "N", $input;
      last if length $input < 4 + $size;
      my $said = substr $input, 4, $size;
      if ($said =~ s/^start\0//) { push @orders, $said }
      else { hear(split /\0/, $said, -1) }
      substr $input, 0, 4 + $size, "";
    }
  }
}

sub reap {
  while ((my $pid = waitpid -1, WNOHANG) > 0) {
    my $status = $?;
    # A child that could not become its program has said so before it ended.
    while ($status >> 8 == $not_become && sysread $failures, my $said, 65536) {
      for (split /\n/, $said) { $failed{$1} = $2 if /^(\d+) (.*)/ }
    }
    my $agent = delete $agents{$pid} or next;
    my ($id) = split /\0/, $agent, 2;
    if (defined(my $why = delete $failed{$id})) { $answers .= "F $id $why\n" }
    else { $answers .= $status & 127 ? "K $id @{[$status & 127]}\n" : "E $id @{[$status >> 8]}\n" }
  }
}

# False where the relay is gone.
sub answer {
  while ($answers ne "") {
    my $length = syswrite STDOUT, $answers;
    if (defined $length) { substr $answers, 0, $length, "" }
    elsif ($! != EINTR) { return 0 }
  }
  return 1;
}

sub end_all {
  reap();
  POSIX::_exit(0) if !%agents;
  my @agents = map { join ":", $_, (split /\0/, $agents{$_}, -1)[1, 2] } keys %agents;
  %ENV = ();
  for (1 .. $guards) {
    my $pid = fork;
    last if !defined $pid;
    if ($pid == 0) {
      exec { $node } $node, "--input-type=module", "--eval", $guard, $grace, @agents or POSIX::_exit($not_become);
    }
    while (waitpid($pid, 0) < 0) { last if $! != EINTR }
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
