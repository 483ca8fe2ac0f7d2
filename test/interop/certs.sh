#!/bin/sh
# Certificates as an operator makes them, with openssl: usage certs.sh DIR HOST.
#
#   ca.pem                the authority; other_ca.pem one that nobody trusts
#   node.pem node.key     of this host, its addresses and HOST, both usages
#   renewed.pem .key      the same, of another serial number
#   wrong_host.pem .key   of another host
#   expired.pem .key      of yesterday
#   foreign.pem .key      of the other authority
#   locked.key            node.key, with the password "secret"
#   tls.conf tls1.2.conf tls1.3.conf   option files for both roles
set -e
dir=$1 host=$2
mkdir -p "$dir"
cd "$dir"
{
    authority() { # NAME
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
            -keyout "$1.key" -out "$1.pem" -subj "/CN=$1" \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign
    }
    certificate() { # NAME AUTHORITY SUBJECT_ALT_NAME DAYS
        openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1"
        printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" >"$1.ext"
        openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial \
            -days "$4" -extfile "$1.ext" -out "$1.pem"
    }
    # OTP 25 looks for an address among the names, later ones among the addresses
    names="DNS:$host,DNS:localhost,DNS:127.0.0.1,IP:127.0.0.1,DNS:::1,IP:::1"
    authority ca
    authority other_ca
    certificate node ca "$names" 30
    certificate renewed ca "$names" 30
    certificate wrong_host ca DNS:elsewhere.example 30
    certificate expired ca "$names" -1
    certificate foreign other_ca "$names" 30
    openssl rsa -in node.key -aes128 -passout pass:secret -out locked.key
} >certs.log 2>&1 || { cat certs.log; exit 1; }

for version in 1.2 1.3 ""; do
    versions="'tlsv$version'"
    [ "$version" ] || versions="'tlsv1.3','tlsv1.2'"
    options="{certfile,\"$dir/node.pem\"},{keyfile,\"$dir/node.key\"},
           {cacertfile,\"$dir/ca.pem\"},{verify,verify_peer},
           {versions,[$versions]}"
    cat >"tls$version.conf" <<EOF
[{server, [{fail_if_no_peer_cert,true},
           $options]},
 {client, [$options]}].
EOF
done
