# A machine that is a node: namespaces of its own, a copy-on-write view of this machine's file system as its disk, systemd as PID 1.
# machine.sh make|boot|init|remove; what it works on is in the environment: NAME, INDEX, DISK (a directory), ADDRESS, GATEWAY,
# CONTROL (the control plane's network namespace), UNIT (the container runtime's service, without suffix), KUBERNETES and RUNTIME
# (directories of programs; the second may be empty), FIRST (what runs as its first process; default: systemd).
set -euo pipefail
ROOT=$DISK/root
HIERARCHIES="cpu cpuacct memory cpuset blkio pids devices freezer"

make() {
    mkdir -p "$DISK"
    mount -t tmpfs -o size=4g "husk-$NAME" "$DISK"
    # Overlays cannot be stacked on an overlay, so what runtimes and the kubelet mount on lies beside it.
    mkdir -p "$DISK"/{upper,work,root,containerd,containers,kubelet}
    mount -t overlay "husk-$NAME" -o "lowerdir=/,upperdir=$DISK/upper,workdir=$DISK/work" "$ROOT"
    echo "$NAME" >"$ROOT/etc/hostname"
    printf '127.0.0.1 localhost\n%s %s\n' "$ADDRESS" "$NAME" >"$ROOT/etc/hosts"
    rm -f "$ROOT/etc/resolv.conf"
    printf 'nameserver 127.0.0.1\n' >"$ROOT/etc/resolv.conf"
    printf '%s' "$NAME" | md5sum | cut -c1-32 >"$ROOT/etc/machine-id"
    rm -rf "$ROOT"/etc/systemd/system/*.wants "$ROOT"/etc/systemd/system/{containerd,crio}.service* \
        "$ROOT"/etc/{containerd,crio,containers} "$ROOT/var/lib/kubelet"
    local unit
    # What a machine does once for its hardware, and this is none.
    for unit in systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service systemd-tmpfiles-setup-dev.service \
        systemd-modules-load.service systemd-random-seed.service systemd-remount-fs.service systemd-logind.service getty@tty1.service \
        systemd-timesyncd.service systemd-binfmt.service systemd-update-utmp.service systemd-udevd-control.socket \
        systemd-udevd-kernel.socket systemd-journald-audit.socket dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount proc-sys-fs-binfmt_misc.automount; do
        ln -sf /dev/null "$ROOT/etc/systemd/system/$unit"
    done
    mkdir -p "$ROOT"/usr/lib/husk-{kubernetes,runtime} "$ROOT"/var/lib/{containerd,containers,kubelet} "$ROOT"/etc/{kubernetes,cni/net.d}
    rm -f "$ROOT"/etc/cni/net.d/*
    cat >"$ROOT/etc/cni/net.d/10-pods.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.$INDEX.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
    cat >"$ROOT/etc/systemd/system/kubelet.service" <<END
[Unit]
After=$UNIT.service
Wants=$UNIT.service
[Service]
ExecStart=/usr/lib/husk-kubernetes/kubelet --config=/var/lib/kubelet/config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf --hostname-override=$NAME --node-ip=$ADDRESS
Restart=always
RestartSec=2
END
    cat >"$ROOT/etc/systemd/system/node.target" <<END
[Unit]
Wants=$UNIT.service kubelet.service dbus.service
AllowIsolate=yes
END
    case $UNIT,$RUNTIME in
    containerd,?*)
        mkdir -p "$ROOT/etc/systemd/system/containerd.service.d"
        printf '[Service]\nExecStart=\nExecStart=/usr/lib/husk-runtime/containerd\n' \
            >"$ROOT/etc/systemd/system/containerd.service.d/10-version.conf"
        ;;
    crio,?*)
        cp "$RUNTIME/crio.service" "$ROOT/etc/systemd/system/crio.service"
        # Where that unit looks for it; and runc, as shims look for it.
        ln -sf /usr/lib/husk-runtime/crio "$ROOT/usr/local/bin/crio"
        ln -sf /usr/lib/husk-runtime/runc "$ROOT/usr/local/sbin/runc"
        ;;
    esac

    ip netns add "$NAME"
    ip link add "husk$INDEX" netns "$CONTROL" type veth peer name eth0 netns "$NAME"
    ip -n "$CONTROL" link set "husk$INDEX" master nodes up
    ip -n "$NAME" link set lo up
    ip -n "$NAME" addr add "$ADDRESS/24" dev eth0
    ip -n "$NAME" link set eth0 up
    ip -n "$NAME" route add default via "$GATEWAY"
}

# Starts the machine in the foreground; it dies with its caller.
boot() {
    local group hierarchy
    for hierarchy in $HIERARCHIES systemd; do
        group=/sys/fs/cgroup/$hierarchy/husk-nodes/$NAME
        mkdir -p "$group"
        find "$group" -mindepth 1 -depth -type d -exec rmdir {} \; 2>/dev/null || true
        if [ "$hierarchy" = cpuset ]; then
            local file
            for file in cpuset.cpus cpuset.mems; do
                cat "/sys/fs/cgroup/cpuset/$file" >"$group/../$file"
                cat "$group/../$file" >"$group/$file"
            done
        fi
        echo $$ >"$group/cgroup.procs"
    done
    exec ip netns exec "$NAME" setpriv --pdeathsig KILL -- \
        unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private bash "$0" init
}

# Inside the new namespaces: the machine's own mounts, then systemd.
init() {
    hostname "$NAME"
    mount --rbind "$ROOT" "$ROOT"
    cd "$ROOT"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
    local hierarchy
    for hierarchy in $HIERARCHIES; do
        mkdir "sys/fs/cgroup/$hierarchy"
        mount -t cgroup -o "$hierarchy" cgroup "sys/fs/cgroup/$hierarchy"
    done
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t tmpfs -o mode=755 dev dev
    mkdir dev/pts dev/shm dev/net dev/mqueue
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
    mount -t tmpfs shm dev/shm
    mount -t mqueue mqueue dev/mqueue
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    local number=0 name
    for name in stdin stdout stderr; do
        ln -s "/proc/self/fd/$number" "dev/$name"
        number=$((number + 1))
    done
    mknod -m 666 dev/null c 1 3
    mknod -m 666 dev/zero c 1 5
    mknod -m 666 dev/full c 1 7
    mknod -m 666 dev/random c 1 8
    mknod -m 666 dev/urandom c 1 9
    mknod -m 666 dev/tty c 5 0
    mknod -m 600 dev/kmsg c 1 11
    mknod -m 666 dev/fuse c 10 229
    mknod -m 666 dev/net/tun c 10 200
    mount -t tmpfs -o mode=755 run run
    mount -t tmpfs tmp tmp
    mount --bind "$DISK/containerd" var/lib/containerd
    mount --bind "$DISK/containers" var/lib/containers
    mount --bind "$DISK/kubelet" var/lib/kubelet
    mount --bind "$KUBERNETES" usr/lib/husk-kubernetes
    if [ -n "$RUNTIME" ]; then mount --bind "$RUNTIME" usr/lib/husk-runtime; fi
    mkdir -p tmp/old
    pivot_root . tmp/old
    cd /
    umount -l /tmp/old
    rmdir /tmp/old
    # The kubelet and containers propagate mounts.
    mount --make-rshared /
    # shellcheck disable=SC2086 # words of a command
    exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${FIRST:-/lib/systemd/systemd --unit=node.target --log-target=console --show-status=no}
}

# Takes everything away; nothing of it may be there.
remove() {
    umount -l "$ROOT" 2>/dev/null || true
    umount -l "$DISK" 2>/dev/null || true
    rmdir "$DISK" 2>/dev/null || true
    ip netns del "$NAME" 2>/dev/null || true
    local hierarchy
    for hierarchy in $HIERARCHIES systemd unified; do
        find "/sys/fs/cgroup/$hierarchy/husk-nodes/$NAME" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        rmdir "/sys/fs/cgroup/$hierarchy/husk-nodes" 2>/dev/null || true
    done
}

"$1"
