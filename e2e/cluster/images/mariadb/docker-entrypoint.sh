#!/bin/sh
# MARIADB_ or MYSQL_ with ROOT_PASSWORD, DATABASE, USER and PASSWORD for an empty data directory.
# Runs as root, and then the server as "mysql", or as any other user who may write to the data directory and /tmp.
set -eu
data=/var/lib/mysql

value() {
  eval "printf %s \"\${MARIADB_$1:-\${MYSQL_$1:-}}\""
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
  -*) set -- mariadbd "$@" ;;
esac
case $1 in
  mariadbd | mysqld) ;;
  *) exec "$@" ;;
esac
user=
if [ "$(id -u)" = 0 ]; then
  chown mysql: "$data" /run/mysqld
  user=--user=mysql
fi
if [ ! -d "$data/mysql" ]; then
  [ -n "$(value ROOT_PASSWORD)" ] || { echo "MARIADB_ROOT_PASSWORD is not set" >&2 && exit 1; }
  mariadb-install-db $user --datadir="$data" --skip-test-db --auth-root-authentication-method=normal >/dev/null
  first=$(mktemp)
  chmod 644 "$first"
  # One statement a line: the server reads the file so.
  {
    say "CREATE USER root@'%' IDENTIFIED BY $(quoted ROOT_PASSWORD);"
    say "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    say "ALTER USER root@localhost IDENTIFIED BY $(quoted ROOT_PASSWORD);"
    [ -z "$(value DATABASE)" ] || say "CREATE DATABASE \`$(value DATABASE)\`;"
    [ -z "$(value USER)" ] || say "CREATE USER $(quoted USER)@'%' IDENTIFIED BY $(quoted PASSWORD);"
    [ -z "$(value USER)" ] || [ -z "$(value DATABASE)" ] || say "GRANT ALL ON \`$(value DATABASE)\`.* TO $(quoted USER)@'%';"
  } >"$first"
  set -- "$@" --init-file="$first"
fi
exec "$@" $user --datadir="$data" --bind-address=0.0.0.0
