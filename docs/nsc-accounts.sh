#!/bin/sh
# The accounts and users of a keyroll ledger in a NATS that is administered with nsc. Run it once, with the operator
# selected (`nsc env -o NAME`), then push the accounts (`nsc push -A`). It writes credentials into the directory $1.
set -eu
out="${1:?the directory for the credentials}"
mkdir -p "$out"
chmod 700 "$out"
umask 077

# What each account imports from LEDGER. A pull (MSG.NEXT) has several answers, everything else one.
stream() {
    printf '$JS.API.STREAM.INFO.%s\n$JS.API.STREAM.MSG.GET.%s\n' "$1" "$1"
    printf '$JS.API.CONSUMER.CREATE.%s\n$JS.API.CONSUMER.CREATE.%s.>\n' "$1" "$1"
    printf '$JS.API.CONSUMER.INFO.%s.*\n$JS.API.CONSUMER.MSG.NEXT.%s.*\n$JS.API.CONSUMER.DELETE.%s.*\n' "$1" "$1" "$1"
}
imports() {
    case "$1" in
    SERVICE)
        printf 'keyroll.log.>\nkeyroll.vault.>\nkeyroll.keys.>\nkeyroll.tokens.>\n$JS.API.INFO\n'
        stream KEYROLL_LOG
        for name in KEYROLL_VAULT KEYROLL_KEYS KEYROLL_TOKENS; do
            stream "$name"
            printf '$JS.API.STREAM.MSG.DELETE.%s\n' "$name"
        done
        ;;
    BACKUP)
        printf '$JS.API.INFO\n'
        for name in KEYROLL_LOG KEYROLL_VAULT KEYROLL_TOKENS; do stream "$name"; done
        ;;
    BACKUP_KEYS)
        printf '$JS.API.INFO\n'
        stream KEYROLL_KEYS
        ;;
    PURGE)
        printf '$JS.API.INFO\n'
        stream KEYROLL_LOG
        printf '$JS.API.STREAM.PURGE.KEYROLL_LOG\n'
        ;;
    GUESTS)
        for name in info signin accept credential; do printf 'keyroll.v1._ledger.%s\n' "$name"; done
        ;;
    esac
}
# Ranges of the day that overlap, the later first: nsc keeps this order, and nats-server ends a guest's connection
# with the first range that holds its beginning, after five to ten minutes.
guest_times() {
    minute=1435
    while [ "$minute" -ge 0 ]; do
        end=$(((minute + 10) % 1440))
        printf '%02d:%02d:00-%02d:%02d:00\n' $((minute / 60)) $((minute % 60)) $((end / 60)) $((end % 60))
        minute=$((minute - 5))
    done
}
if [ "${2:-}" = "--times" ]; then
    guest_times
    exit
fi
if [ "${2:-}" = "--list" ]; then
    imports "${3:?an account}"
    exit
fi

key() { nsc describe account "$1" --field sub --raw | tr -d '"'; }
comma() { paste -s -d , -; }

for account in LEDGER SERVICE CLIENTS GUESTS BACKUP BACKUP_KEYS PURGE; do nsc add account "$account"; done
nsc edit account LEDGER --js-mem-storage -1 --js-disk-storage -1 --js-streams -1 --js-consumer -1
for account in SERVICE CLIENTS BACKUP BACKUP_KEYS PURGE LEDGER; do nsc edit account "$account" --disallow-bearer; done
nsc edit account GUESTS --conns 64

for account in SERVICE BACKUP BACKUP_KEYS PURGE; do imports "$account"; done | sort -u | while read -r subject; do
    case "$subject" in *MSG.NEXT*) answers=Stream ;; *) answers=Singleton ;; esac
    nsc add export --account LEDGER --service --private --subject "$subject" --response-type "$answers"
done
# Requests of guests arrive under keyroll.v1._guest, apart from those of members.
imports GUESTS | sed s/_ledger/_guest/ | while read -r subject; do
    nsc add export --account CLIENTS --service --private --subject "$subject"
done
for account in SERVICE BACKUP BACKUP_KEYS PURGE GUESTS; do
    case "$account" in GUESTS) from=CLIENTS ;; *) from=LEDGER ;; esac
    imports "$account" | while read -r subject; do
        remote="$(printf '%s\n' "$subject" | case "$account" in GUESTS) sed s/_ledger/_guest/ ;; *) cat ;; esac)"
        nsc generate activation --account "$from" --subject "$remote" --target-account "$(key "$account")" \
            --output-file "$out/activation"
        nsc add import --account "$account" --token "$out/activation" --local-subject "$subject"
        rm "$out/activation"
    done
done

# NAME ACCOUNT INBOX: a user that may do what its account imports.
borrower() {
    nsc add user --account "$2" --name "$1" --allow-pub "$(imports "$2" | comma)" --allow-sub "$3.>"
    nsc generate creds --account "$2" --name "$1" > "$out/$1.creds"
}
borrower service SERVICE _INBOX_service
borrower backup BACKUP _INBOX_backup
borrower backup-keys BACKUP_KEYS _INBOX_backup-keys
borrower purge PURGE _INBOX_purge
nsc add user --account LEDGER --name operator
nsc generate creds --account LEDGER --name operator > "$out/operator.creds"
nsc add user --account CLIENTS --name responder --allow-pub '_INBOX_client.*.>,keyroll.events.>,_R_.>' \
    --allow-sub 'keyroll.v1.>,$SRV.>'
nsc generate creds --account CLIENTS --name responder > "$out/responder.creds"
nsc add user --account CLIENTS --name console --allow-pub 'keyroll.v1.>,$SRV.PING.keyroll' \
    --allow-sub '_INBOX_client.console.>,keyroll.events.>'
nsc generate creds --account CLIENTS --name console > "$out/console.creds"

# The scoped key with which the service issues credentials.
nsc generate nkey --account > "$out/clients.pair" 2>&1
grep '^SA' "$out/clients.pair" > "$out/clients.nk"
nsc edit signing-key --account CLIENTS --role client --sk "$(grep '^A' "$out/clients.pair")" --subs 20 \
    --allow-pub 'keyroll.v1._ledger.>,keyroll.v1.{{tag(ws)}}.>,$SRV.PING.keyroll' \
    --allow-sub '_INBOX_client.{{name()}}.>,keyroll.events.{{tag(ws)}}.>'
rm "$out/clients.pair"

# Whoever connects without credentials: `default_sentinel` of the servers.
nsc add user --account GUESTS --name guest --bearer --allow-pub "$(imports GUESTS | comma)" --allow-sub '_INBOX_guest.>'
# The ranges have no spaces, so the shell splits them into words.
nsc edit user --account GUESTS --name guest --subs 5 --payload 65536 --locale UTC \
    $(guest_times | sed 's/^/--time /')
nsc describe user --account GUESTS --name guest --raw > "$out/guest.jwt"
