//! Every system call of the sidecar that no safe crate offers. Nothing here decides anything.
#![expect(unsafe_code, reason = "the one file of this crate that may; see each JUSTIFICATION")]

use std::ffi::{CStr, CString};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::Pid;
use tokio::io::unix::AsyncFd;

/// Which side of a [`fork_into`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The process that called; the other one's pid.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Forks; the child is born into the new `namespaces` (flags of clone3). Call it while the process has one thread.
pub(crate) fn fork_into(namespaces: u64) -> io::Result<Fork> {
    let forked = if namespaces == 0 {
        // SAFETY: the process has one thread (no runtime exists yet), so the child inherits no lock held by another.
        // JUSTIFICATION: neither std nor rustix forks without exec.
        libc::c_long::from(unsafe { libc::fork() })
    } else {
        let signal = u64::from(libc::SIGCHLD.cast_unsigned());
        let arguments = [namespaces, 0, 0, 0, signal, 0, 0, 0];
        // SAFETY: `arguments` is the first version of clone_args, 64 bytes. Without CLONE_VM this is fork: the child goes on with a copy
        // of this one thread. What fork() of the C library does besides is for other threads and for handlers, and there are none.
        // JUSTIFICATION: the C library has no call that forks into namespaces.
        unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) }
    };
    match i32::try_from(forked) {
        Ok(0) => Ok(Fork::Child),
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid).map_or(Fork::Child, Fork::Parent)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts this process into a new network namespace. Call it while the process has one thread.
pub(crate) fn enter_new_network() -> io::Result<()> {
    // SAFETY: only the network namespace is unshared: no memory, descriptor or file system state that other threads could rely on.
    // JUSTIFICATION: rustix has no safe call for it, because other flags of `unshare` are not safe.
    Ok(unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }?)
}

/// Brings a network interface up, by way of any socket.
pub(crate) fn bring_up(socket: &OwnedFd, interface: &CStr) -> io::Result<()> {
    // SAFETY: all of its fields are integers and arrays of them, for which zero is a value.
    // JUSTIFICATION: as for the calls below.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.to_bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: `request` is an ifreq that holds a name of at most 15 bytes; the call fills in the flags.
    // JUSTIFICATION: rustix has no calls for interfaces.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call before has just written this member of the union.
    // JUSTIFICATION: as above.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | IFF_UP;
    // SAFETY: `request` is an ifreq with name and flags.
    // JUSTIFICATION: as above.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// IFF_UP of netdevice(7), as wide as the member that takes it.
const IFF_UP: libc::c_short = 1;

/// Makes a network unreachable, by way of any socket.
pub(crate) fn add_unreachable_route(socket: &OwnedFd, address: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
    // SAFETY: all of its fields are integers, or pointers that may be null.
    // JUSTIFICATION: as for the call below.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = internet(address);
    route.rt_genmask = internet(mask);
    route.rt_flags = libc::RTF_UP | libc::RTF_REJECT;
    // SAFETY: `route` is an rtentry that names no device.
    // JUSTIFICATION: rustix has no calls for routes, and one refusal is not worth a netlink library.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw const route) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns an address as the kernel's older calls want it: family, port, and four bytes.
fn internet(address: Ipv4Addr) -> libc::sockaddr {
    let mut data: [libc::c_char; 14] = [0; 14];
    for (to, from) in data.iter_mut().skip(2).zip(address.octets()) {
        *to = from.cast_signed();
    }
    libc::sockaddr { sa_family: ADDRESS_FAMILY, sa_data: data }
}

#[expect(clippy::cast_possible_truncation, reason = "AF_INET is 2")]
const ADDRESS_FAMILY: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;

/// What a mount is that shows files and gives no power.
const SHOWN: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Makes the mount at `place`, and all below it, read-only, without devices and without programs that change users, and lets nothing
/// that is mounted on it reach another, or come from there.
pub(crate) fn make_read_only(place: &Path) -> io::Result<()> {
    let place = CString::new(place.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr { attr_set: SHOWN, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    set_attributes(libc::AT_FDCWD, &place, libc::AT_RECURSIVE, &attributes)
}

/// Makes a mount that is nowhere attached yet read-only as [`make_read_only`] does, lets nothing that is mounted on it reach
/// another, and maps its files' owners as `users`, a user namespace, maps ids.
pub(crate) fn map_owners(mount: BorrowedFd<'_>, users: BorrowedFd<'_>) -> io::Result<()> {
    let userns_fd = u64::try_from(users.as_raw_fd()).map_err(io::Error::other)?;
    let attributes = libc::mount_attr {
        attr_set: SHOWN | libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd,
    };
    set_attributes(mount.as_raw_fd(), c"", libc::AT_EMPTY_PATH, &attributes)
}

fn set_attributes(at: RawFd, place: &CStr, flags: libc::c_int, attributes: &libc::mount_attr) -> io::Result<()> {
    let size = size_of_val(attributes);
    // SAFETY: `place` ends in a null byte, and `attributes` is a mount_attr of the size given.
    // JUSTIFICATION: rustix has no mount_setattr; remounting does not reach what is mounted below, and maps no owners.
    let set =
        unsafe { libc::syscall(libc::SYS_mount_setattr, at, place.as_ptr(), flags, &raw const *attributes, size) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Becomes the program at `path`; returns only if that fails, and why.
pub(crate) fn execute(path: &CStr, arguments: &[&CStr], environment: &[CString]) -> io::Error {
    let arguments: Vec<_> = arguments.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    let environment: Vec<_> = environment.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: `path` and every word end in a null byte, both lists in a null pointer, and all outlive the call.
    // JUSTIFICATION: std's way looks for names along no PATH of ours, and hands to a shell what the kernel refuses to run.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Returns one instruction of a filter as [`innkeep_protocol::walls::Walls::seccomp`] packs it.
pub(crate) fn unpack(packed: u64) -> libc::sock_filter {
    let [c1, c0, jt, jf, k3, k2, k1, k0] = packed.to_be_bytes();
    step(u16::from_be_bytes([c1, c0]), jt, jf, u32::from_be_bytes([k3, k2, k1, k0]))
}

/// Filters every later system call of this process and its descendants.
pub(crate) fn install_filter(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    set_filter(filter, 0).map(drop)
}

/// Returns what the call does: a descriptor, where the flags ask for one.
fn set_filter(filter: &mut [libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let len = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `program` points to `len` instructions that outlive the call; the kernel copies and checks them.
    // JUSTIFICATION: the filters come compiled; a crate that installs them would bring its compiler along, and has none with a listener.
    let set = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(set) }
}

/// Closes every descriptor but 0, 1 and 2. Call it before anything is opened.
pub(crate) fn close_inherited() {
    // SAFETY: the caller owns no descriptor above 2 yet, so none is closed under anybody's feet. A kernel before 5.9 refuses;
    // then only what the server forgot to mark close-on-exec stays open, which is nothing that we know of.
    // JUSTIFICATION: rustix has no close_range; the C library's wrapper is newer than the kernel's call.
    unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) };
}

/// Closes every descriptor above 2 but `kept`. Call it in a process that ends without looking at any other again.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) {
    let mut kept: Vec<_> = kept.iter().filter_map(|fd| libc::c_uint::try_from(fd.as_raw_fd()).ok()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for last in kept.into_iter().map(Some).chain([None]) {
        let until = last.map_or(libc::c_uint::MAX, |last| last.saturating_sub(1));
        if first <= until {
            // SAFETY: by the caller's word nothing in this process uses, or closes, what is closed here. A kernel before 5.9 refuses;
            // what stays open then is what its exec closes.
            // JUSTIFICATION: as for [`close_inherited`].
            unsafe { libc::syscall(libc::SYS_close_range, first, until, 0 as libc::c_uint) };
        }
        first = last.map_or(libc::c_uint::MAX, |last| last.saturating_add(1).max(first));
    }
}

/// Ends this process, a fork that goes on nowhere: nothing of what it shares with its parent is undone or flushed.
pub(crate) fn leave() -> ! {
    // SAFETY: it takes a number and never returns.
    // JUSTIFICATION: std's exit runs what the parent has registered.
    unsafe { libc::_exit(0) }
}

/// Returns what `work` returns, which is done as `user` and `group` where files are made, and nowhere else.
pub(crate) fn as_owner<T>((user, group): (u32, u32), work: impl FnOnce() -> T) -> T {
    // SAFETY: both take and return numbers, and concern this thread alone. One that is refused changes nothing.
    // JUSTIFICATION: rustix has no calls for it.
    let (was_user, was_group) = unsafe { (libc::setfsuid(user), libc::setfsgid(group)) };
    let done = work();
    // SAFETY: as above; what they returned are the ids of before.
    // JUSTIFICATION: as above.
    unsafe { (libc::setfsuid(was_user.cast_unsigned()), libc::setfsgid(was_group.cast_unsigned())) };
    done
}

/// Starts `command`, running `in_child` in the new process right before exec.
pub(crate) fn spawn(
    command: &mut Command,
    in_child: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Child> {
    // SAFETY: the sidecar has one thread, so the forked child may allocate and take locks like any program.
    // JUSTIFICATION: std offers code between fork and exec only through this unsafe function.
    unsafe { command.pre_exec(in_child) };
    command.spawn()
}

/// Gives every signal its default action; exec would keep what an ancestor ignored.
pub(crate) fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL installs no handler; the C library refuses the signals that cannot be changed.
        // JUSTIFICATION: rustix leaves signal actions to the C library.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Registers a descriptor with the runtime.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, stays the same descriptor and is owned by the AsyncFd to its end.
    // JUSTIFICATION: tokio has no safe constructor; its contract is just what OwnedFd guarantees.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

const LD_ABS: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET: u16 = 0x06; // BPF_RET | BPF_K
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;
#[expect(clippy::cast_possible_truncation, reason = "system call numbers are small")]
const NR_BIND: u32 = libc::SYS_bind as u32;
#[expect(clippy::cast_possible_truncation, reason = "system call numbers are small")]
const NR_SETNS: u32 = libc::SYS_setns as u32;

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Makes every later bind(2) of this process and its descendants wait for an answer through the returned descriptor. Calls
/// of a foreign architecture (32-bit programs) pass: this is a convenience and no wall.
pub(crate) fn notify_binds() -> io::Result<OwnedFd> {
    rustix::thread::set_no_new_privs(true)?;
    let mut filter = [
        step(LD_ABS, 0, 0, OFFSET_ARCH),
        step(JEQ, 0, 3, AUDIT_ARCH),
        step(LD_ABS, 0, 0, OFFSET_NR),
        step(JEQ, 0, 1, NR_BIND),
        step(RET, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Without this flag (kernel 5.19) a signal such as Go's preemption restarts a bind that was already done for it.
    let set = match set_filter(&mut filter, listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => set_filter(&mut filter, listener)?,
        set => set?,
    };
    let descriptor = RawFd::try_from(set).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    // JUSTIFICATION: it comes from a raw system call.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Returns the filter of a forked agent, as the kernel's structures lie in memory: [`notify_binds`]'s, and setns(2), which the zygote
/// needed, fails from then on.
pub(crate) fn filter_of_fork() -> Vec<u8> {
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    let filter = [
        step(LD_ABS, 0, 0, OFFSET_ARCH),
        step(JEQ, 0, 4, AUDIT_ARCH),
        step(LD_ABS, 0, 0, OFFSET_NR),
        step(JEQ, 3, 0, NR_SETNS),
        step(JEQ, 0, 1, NR_BIND),
        step(RET, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(RET, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RET, 0, 0, refused),
    ];
    let bytes = |step: libc::sock_filter| {
        let ([c0, c1], [k0, k1, k2, k3]) = (step.code.to_ne_bytes(), step.k.to_ne_bytes());
        [c0, c1, step.jt, step.jf, k0, k1, k2, k3]
    };
    filter.into_iter().flat_map(bytes).collect()
}

/// A bind(2) that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BindCall {
    /// Names the call; see [`is_waiting`].
    pub(crate) id: u64,
    /// The calling thread.
    pub(crate) thread: Pid,
    /// Its descriptor of the socket.
    pub(crate) socket: RawFd,
    /// Where the address lies in its memory.
    pub(crate) address: u64,
    /// The length that it claims.
    pub(crate) length: u64,
}

/// How a [`BindCall`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindAnswer {
    /// The kernel does it as if nobody had asked.
    Continue,
    /// It has been done.
    Done,
    /// It fails with this.
    Fail(rustix::io::Errno),
}

/// Takes the next waiting call. Call it only when `listener` polls readable: it blocks otherwise.
pub(crate) fn receive_bind(listener: BorrowedFd<'_>) -> io::Result<BindCall> {
    // SAFETY: all of its fields are integers, for which zero is a value; the kernel wants it zeroed.
    // JUSTIFICATION: as for the call below.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and `call` is a writable seccomp_notif, as this request wants.
    // JUSTIFICATION: no safe crate speaks to a seccomp listener.
    if unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let thread = i32::try_from(call.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    #[expect(clippy::cast_possible_truncation, reason = "the kernel reads an int from the register")]
    let socket = call.data.args[0] as RawFd;
    Ok(BindCall { id: call.id, thread, socket, address: call.data.args[1], length: call.data.args[2] })
}

/// Answers a call. One whose caller is gone by now is answered in vain.
pub(crate) fn answer_bind(listener: BorrowedFd<'_>, id: u64, answer: BindAnswer) {
    let (error, flags) = match answer {
        BindAnswer::Continue => (0, 1),
        BindAnswer::Done => (0, 0),
        BindAnswer::Fail(errno) => (-errno.raw_os_error(), 0),
    };
    let mut response = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the descriptor is open and `response` is a seccomp_notif_resp, as this request wants.
    // JUSTIFICATION: no safe crate speaks to a seccomp listener.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
}

/// Tells whether a call still waits: only then does its thread's id still name its thread.
pub(crate) fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the descriptor is open and the request reads one u64.
    // JUSTIFICATION: no safe crate speaks to a seccomp listener.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Copies from another process's memory, as much as is mapped.
pub(crate) fn read_memory(process: Pid, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let address = usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?;
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: into.len() };
    // SAFETY: `local` describes `into`, writable for the whole call; `remote` is never dereferenced in this process.
    // JUSTIFICATION: no safe crate wraps it, and /proc/PID/mem would cost three calls.
    let n = unsafe { libc::process_vm_readv(process.as_raw_pid(), &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}
