#!/bin/busybox sh
# The guest's first process: a root file system in memory, with this host's /usr and what is tested (/guest) as the host shares them,
# read-only. Then the situations, and the units under systemd; the last line on the console tells how they went, and the guest is gone.

export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t devtmpfs none /dev
for module in virtio_pci 9pnet_virtio 9p overlay; do modprobe "$module" || echo "guest: no module $module"; done

share=trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro
mount -t tmpfs -o mode=755 none /root
cd /root
mkdir dev etc guest mnt proc run sys tmp usr
chmod 1777 tmp
for link in bin sbin lib lib64; do ln -s usr/$link $link; done
printf 'root:x:0:0::/root:/bin/sh\n' > etc/passwd
mount -t 9p -o $share usr usr
mount -t 9p -o $share guest guest
mount -t devtmpfs none dev
mount -t proc none proc
mount -t sysfs none sys
# As systemd mounts it.
mount -t cgroup2 -o nsdelegate,memory_recursiveprot none sys/fs/cgroup
ip link set lo up

export PATH=/usr/bin:/usr/sbin
# Not chroot, in which the kernel gives nobody a user namespace. Off at once: nothing here is worth writing back.
exec /bin/switch_root /root /bin/sh -c '
    /usr/bin/python3 -u /guest/situations.py && /usr/bin/python3 /guest/units.py write &&
        exec /usr/lib/systemd/systemd --unit=check.service --show-status=no --log-target=console --log-level=warning
    echo "guest: failed"
    sleep 0.5 # until the console has said it
    echo o > /proc/sysrq-trigger
    sleep 60'
