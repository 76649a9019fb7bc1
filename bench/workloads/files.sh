# Copying a tree of 400 files, packing it, unpacking it, searching it.
cd /root || exit 1
if [ "$1" = prepare ]; then
    for folder in $(seq 20); do
        mkdir -p tree/$folder
        for file in $(seq 20); do
            seq $file $((file * 40)) >tree/$folder/$file
        done
    done
    exit
fi
/bin/cp -r tree copy && mkdir unpacked && /bin/tar cf tree.tar copy &&
    /bin/tar xf tree.tar -C unpacked && [ "$(/bin/grep -r '77$' unpacked | wc -l)" = 1600 ]
