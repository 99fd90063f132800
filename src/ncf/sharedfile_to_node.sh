#!/bin/sh
# What sharedfile_to_node.cf does outside of CFEngine, with curl and openssl alone.
#
#   sharedfile_to_node.sh ask|send NAME=VALUE… -- PIECE…
#
# The file's path is the PIECEs, each after an equals sign, with a double quote between them: CFEngine splits a command
# at quotes and cannot escape one, so a path that has some comes in pieces. Everything is an argument; nothing is ever
# read as shell text.
#
# ask   prints one line: `kept`, `absent:<sha512 of the content>`, or what went wrong; always exits with 0.
# send  sends the file with that hash; exits with 0 when the relay took it. Tells what happened by CFEngine's module
#       protocol, in the variable sharedfile_sent.<told>.
set -u
umask 077
export LC_ALL=C
PATH="${PATH:-/usr/bin}:/usr/local/bin:/usr/bin:/bin:/opt/rudder/bin"
# CFEngine would take what is said on stderr for a part of the answer.
exec 2> /dev/null

mode=$1
shift
node='' target='' file_id='' ttl='' url='' key='' ca='' pin='' certificate='' hash='' told=''
while [ "$1" != -- ]; do
  value=${1#*=}
  case $1 in
    node=*) node=$value ;;
    target=*) target=$value ;;
    file_id=*) file_id=$value ;;
    ttl=*) ttl=$value ;;
    url=*) url=${value%/} ;;
    key=*) key=$value ;;
    ca=*) ca=$value ;;
    pin=*) pin=$value ;;
    certificate=*) certificate=$value ;;
    hash=*) hash=${value#absent:} ;;
    told=*) told=$value ;;
  esac
  shift
done
shift
path=${1#=}
shift
for piece; do path="$path\"${piece#=}"; done

# CFEngine's own passphrase, of keys that older versions made; openssl ignores it for a key without one.
passphrase='pass:Cfengine passphrase'

# One line of printable text, without what CFEngine takes for a variable.
clean() { tr '\n\r\t$' '    ' | tr -cd '[:print:]' | cut -c 1-400; }

tell() { # text
  text=$(printf '%s' "$1" | clean)
  if [ "$mode" = ask ]; then
    printf '%s\n' "$text"
  else
    printf '^context=sharedfile_sent\n=%s=%s\n' "$told" "$text"
  fi
}

fail() { # text
  tell "$1"
  [ "$mode" = ask ]
  exit
}

# What of a base64 text, or of a ttl, means something else in a query.
escape() { sed -e 's/%/%25/g' -e 's/+/%2B/g' -e 's/\//%2F/g' -e 's/=/%3D/g' -e 's/ /%20/g'; }

base64() { openssl base64 -A; }

# The pin of a certificate's key, as curl wants it.
pin_of() { # certificate
  openssl x509 -in "$1" -noout -pubkey > "$work/pin.pem" &&
    openssl pkey -pubin -in "$work/pin.pem" -outform DER > "$work/pin.der" &&
    printf 'sha256//%s' "$(openssl dgst -sha256 -binary < "$work/pin.der" | base64)"
}

# curl with how the relay is known; sets `status`, 000 when there was no answer, and `answer` to what was said.
ask_relay() { # curl's arguments
  if [ -n "$pin" ]; then
    set -- -k --pinnedpubkey "$pin" "$@"
  elif [ -n "$ca" ]; then
    set -- --cacert "$ca" "$@"
  elif [ -n "$certificate" ]; then
    pin=$(pin_of "$certificate") || fail "cannot read the certificate $certificate"
    set -- -k --pinnedpubkey "$pin" "$@"
  fi
  # A connection that stands still for five minutes is given up; how long a transfer takes is nobody's business.
  status=$(curl -q -g -sS --connect-timeout 10 --speed-limit 1 --speed-time 300 -w '%{http_code}' "$@" 2> "$work/said")
  [ "$status" != 000 ] || fail "no answer from $url: $(cat "$work/said")"
}

sign() { # file, where the signature goes
  openssl dgst -sha512 -sign "$key" -passin "$passphrase" < "$1" > "$2" 2> "$work/said" ||
    fail "cannot sign with $key: $(head -n 1 "$work/said")"
}

check() {
  for command in curl openssl; do
    command -v $command > /dev/null || fail "$command is not installed"
  done
  case $path in
    /*) ;;
    *) fail "the file's path is not absolute" ;;
  esac
  [ -e "$path" ] || fail "the file does not exist"
  [ -f "$path" ] || fail "the file is not a regular file"
  [ -r "$path" ] || fail "the file cannot be read"
}

ask() {
  hash=$(openssl dgst -sha512 < "$path" | sed 's/^.*[ =]//')
  [ ${#hash} = 128 ] || fail "openssl cannot tell the file's sha512"
  ask_relay -I -o "$work/head" "$resource?source-uuid=$node&hash=$hash"
  case $status in
    200) tell kept ;;
    404) tell "absent:$hash" ;;
    *) fail "the relay answered $(sed -n '1s/^HTTP[^ ]* //p' "$work/head")" ;;
  esac
}

send() {
  date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  sign "$path" "$work/signature"
  # For whom, from whom, under which name, for how long and when: so that nobody can send it again as something else.
  printf '%s\n' rudder-relay-2 "$target" "$node" "$file_id" "$ttl" "$date" "sha512:$hash" > "$work/scope"
  sign "$work/scope" "$work/request-signature"
  openssl rsa -in "$key" -passin "$passphrase" -RSAPublicKey_out -outform DER > "$work/public-key" 2> "$work/said" ||
    fail "cannot read $key: $(head -n 1 "$work/said")"
  query="source-uuid=$node&algorithm=sha512&hash=$hash&date=$date"
  [ -z "$ttl" ] || query="$query&ttl=$(printf '%s' "$ttl" | escape)"
  for name in signature request-signature public-key; do
    query="$query&$name=$(base64 < "$work/$name" | escape)"
  done
  # Streamed from the file; with -g, curl takes no character of the path for a pattern.
  ask_relay -X POST -T "$path" -H 'Content-Type: application/octet-stream' -o "$work/body" "$resource?$query"
  case $status in
    2??) tell "the relay took it" ;;
    *) fail "the relay answered $status $(dd if="$work/body" bs=400 count=1)" ;;
  esac
}

work=$(mktemp -d) || fail "no temporary folder can be made"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
resource="$url/shared-files/node/$target/$file_id"
check
"$mode"
