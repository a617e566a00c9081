#!/bin/sh
# MYSQL_ROOT_PASSWORD, MYSQL_DATABASE, MYSQL_USER and MYSQL_PASSWORD (or each with _FILE) for an empty data directory.
# Runs as root, and then the server as "mysql", or as any other user who may write to the data directory and /tmp.
set -eu
data=/var/lib/mysql

value() {
  eval "file=\${MYSQL_$1_FILE:-}"
  if [ -n "$file" ]; then cat "$file"; else eval "printf %s \"\${MYSQL_$1:-}\""; fi
}

# "echo" of this shell would undo backslashes.
say() {
  printf '%s\n' "$*"
}

# In SQL quotes.
quoted() {
  printf "'%s'" "$(value "$1" | sed "s/[\\\\']/\\\\&/g")"
}

case ${1:-} in
  -*) set -- mysqld "$@" ;;
esac
[ "$1" = mysqld ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
  chown mysql: "$data" /run/mysqld
  set -- "$@" --user=mysql
fi
if [ ! -d "$data/mysql" ]; then
  [ -n "$(value ROOT_PASSWORD)" ] || { echo "MYSQL_ROOT_PASSWORD is not set" >&2 && exit 1; }
  first=$(mktemp)
  chmod 644 "$first"
  {
    say "CREATE USER root@'%' IDENTIFIED BY $(quoted ROOT_PASSWORD);"
    say "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    say "ALTER USER root@localhost IDENTIFIED BY $(quoted ROOT_PASSWORD);"
    database=$(value DATABASE) user=$(value USER)
    [ -z "$database" ] || say "CREATE DATABASE \`$database\`;"
    [ -z "$user" ] || say "CREATE USER $(quoted USER)@'%' IDENTIFIED BY $(quoted PASSWORD);"
    [ -z "$user" ] || [ -z "$database" ] || say "GRANT ALL ON \`$database\`.* TO $(quoted USER)@'%';"
  } >"$first"
  "$@" --initialize-insecure --init-file="$first"
  rm "$first"
fi
exec "$@"
