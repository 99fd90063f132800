/** What a shell reads to complete this program's command lines: it asks the program itself, at each press of the key. */

const bash = `# Completions of rudder-relay for bash: . <(rudder-relay --completions bash)

_rudder_relay() {
  # Bash has cut the line at characters such as : and @, which are parts of words here.
  local line=\${COMP_LINE:0:COMP_POINT} words=() part="" at
  for ((at = 0; at <= COMP_CWORD; at++)); do
    if ((at == 0)) || [[ $line == [[:space:]]* ]]; then
      line=\${line#"\${line%%[![:space:]]*}"}
      words+=("")
    fi
    part=\${COMP_WORDS[at]}
    ((at == COMP_CWORD)) && part=$line
    words[\${#words[@]}-1]+=$part
    line=\${line#"$part"}
  done
  local word=\${words[\${#words[@]}-1]} answer=() kind candidate
  mapfile -t answer < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
  kind=\${answer[0]}
  # Bash puts what is offered behind the last of its characters.
  local behind=\${word##*[:=]} kept
  kept=\${word%"$behind"}
  COMPREPLY=()
  for candidate in "\${answer[@]:1}"; do
    candidate=\${candidate%%$'\\t'*}
    [[ $candidate == "$word"* ]] && COMPREPLY+=("\${candidate#"$kept"}")
  done
  case $kind in
    files) compopt -o filenames 2>/dev/null; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$behind") ;;
    folders) compopt -o filenames 2>/dev/null; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$behind") ;;
  esac
  # What is to go on gets no space behind it.
  if ((\${#COMPREPLY[@]} == 1)) && [[ \${COMPREPLY[0]} == *[:=] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _rudder_relay rudder-relay
`

const zsh = `#compdef rudder-relay
# Completions of rudder-relay for zsh: . <(rudder-relay --completions zsh), or a file _rudder-relay in $fpath

_rudder_relay() {
  local -a answer names shown
  local line word kind
  answer=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  kind=$answer[1]
  shift answer
  for line in $answer; do
    word=\${line%%$'\\t'*}
    names+=("$word")
    if [[ $line == *$'\\t'?* ]]; then shown+=("$word -- \${line#*$'\\t'}"); else shown+=("$word"); fi
  done
  local -a open closed open_shown closed_shown
  local at
  for ((at = 1; at <= $#names; at++)); do
    if [[ $names[at] == *[:=] ]]; then
      open+=("$names[at]"); open_shown+=("$shown[at]")
    else
      closed+=("$names[at]"); closed_shown+=("$shown[at]")
    fi
  done
  (($#closed)) && compadd -l -d closed_shown -a closed
  (($#open)) && compadd -l -S '' -d open_shown -a open
  case $kind in
    files) compset -P '--*='; _files ;;
    folders) compset -P '--*='; _files -/ ;;
  esac
  return 0
}

if [[ $funcstack[1] == _rudder_relay ]]; then
  _rudder_relay "$@"
else
  (($+functions[compdef])) || { autoload -Uz compinit && compinit -i -D }
  compdef _rudder_relay rudder-relay
fi
`

const fish = `# Completions of rudder-relay for fish: rudder-relay --completions fish | source

function __rudder_relay_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l answer ($before[1] __complete $before[2..] "$word" 2>/dev/null)
    string join \\n -- $answer[2..]
    set -l value (string replace -r -- '^--[^=]*=' '' "$word")
    set -l kept (string sub -l (math (string length -- "$word") - (string length -- "$value")) -- "$word")
    switch "$answer[1]"
        case files
            __fish_complete_path "$value" | string replace -r -- '^' "$kept"
        case folders
            __fish_complete_directories "$value" | string replace -r -- '^' "$kept"
    end
end
complete -c rudder-relay -f -a '(__rudder_relay_complete)'
`

const scripts: Readonly<Record<string, string>> = { bash, zsh, fish }

/** The script for a shell; empty for one that there is none for. */
export const script = (shell: string): string => scripts[shell] ?? ""
