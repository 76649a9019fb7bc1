#!/bin/sh
# In the guest: runs the named programs one after the other in a folder of the file system to test.
# Usage: run.sh FOLDER SEED PROGRAM...
folder=$1 QUIRE_SEED=$2
export QUIRE_SEED
shift 2
mkdir -p "$folder" && chmod 755 "$folder" && cd "$folder" || exit 1
for program; do
    echo "@@ begin $program"
    /tests/"$program" $(cat /tests/"$program".args) 2>&1
    echo "@@ end $program $?"
done
echo "@@ all"
