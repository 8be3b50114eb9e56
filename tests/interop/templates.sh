#!/bin/sh
# templates.sh STE VENV TEMPLATES: chat templates against transformers (templates.py). TEMPLATES is a folder of .jinja
# files, such as models/templates of llama.cpp's source. Exit code 0 only if every bound is met.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "$2/bin/python" -W ignore "$here/templates.py" --ste "$1" --templates "$3"
