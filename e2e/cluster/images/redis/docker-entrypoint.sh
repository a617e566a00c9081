#!/bin/sh
# Options alone, or a configuration file, are for the server, as in the public image.
case $1 in
  -* | *.conf) set -- redis-server "$@" ;;
esac
exec "$@"
