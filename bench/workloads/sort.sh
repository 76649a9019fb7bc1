# Sorting a file of 40,000 lines, 2 MiB, and counting what is there twice.
cd /root || exit 1
if [ "$1" = prepare ]; then
    awk 'BEGIN { for (i = x = 1; i <= 40000; i++) { x = x * 16807 % 2147483647
                 printf "%05d and some words that make the line longer\n", x % 100000 } }' >lines
    exit
fi
/usr/bin/sort lines >sorted && /usr/bin/uniq -d sorted >twice && [ -s twice ]
