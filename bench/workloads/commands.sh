# A shell script of many short commands: subshells, pipes, programs.
[ "$1" = prepare ] && exit
i=0
while [ $i -lt 40 ]; do
    name=$(/usr/bin/basename "/some/folder/file$i.txt" .txt)
    upper=$(echo "$name" | /usr/bin/tr a-z A-Z)
    length=$(/usr/bin/expr length "$upper")
    (cd / && [ "$length" -gt 4 ]) || exit 1
    /bin/true
    i=$((i + 1))
done
