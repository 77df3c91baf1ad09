#!/bin/sh
# Makes a certificate for trying things out: self-signed.sh DIRECTORY [HOST ...]
# It is its own authority: clients trust DIRECTORY/tls.crt. For the public, use a real one instead.
set -eu
directory=${1:?the directory for tls.crt and tls.key is missing}
shift
[ "$#" -gt 0 ] || set -- localhost 127.0.0.1
names=
for host in "$@"; do
  case $host in
    *:* | *[0-9].*[0-9].*[0-9].*[0-9]) kind=IP ;;
    *) kind=DNS ;;
  esac
  names=${names:+$names,}$kind:$host
done
umask 077
mkdir -p "$directory"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 397 \
  -subj "/CN=$1" -addext "subjectAltName=$names" \
  -addext "keyUsage=critical,digitalSignature,keyCertSign" \
  -addext "extendedKeyUsage=serverAuth" \
  -keyout "$directory/tls.key" -out "$directory/tls.crt" 2>/dev/null
