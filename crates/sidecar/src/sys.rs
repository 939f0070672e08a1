//! Every system call of the sidecar that no safe crate offers. Nothing here decides anything.
#![expect(unsafe_code, reason = "the one file of this crate that may; see each JUSTIFICATION")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::Pid;
use tokio::io::unix::AsyncFd;

/// Which side of a [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The process that called.
    Parent,
    /// The new one.
    Child,
}

/// Forks. Call it while the process has one thread.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the process has one thread (no runtime exists yet), so the child inherits no lock held by another.
    // JUSTIFICATION: neither std nor rustix forks without exec.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        _ => Ok(Fork::Parent),
    }
}

/// Closes every descriptor but 0, 1 and 2. Call it before anything is opened.
pub(crate) fn close_inherited() {
    // SAFETY: the caller owns no descriptor above 2 yet, so none is closed under anybody's feet. A kernel before 5.9 refuses;
    // then only what the server forgot to mark close-on-exec stays open, which is nothing that we know of.
    // JUSTIFICATION: rustix has no close_range; the C library's wrapper is newer than the kernel's call.
    unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) };
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
    let program = libc::sock_fprog { len: 6, filter: filter.as_mut_ptr() };
    let install = |flags: libc::c_ulong| {
        // SAFETY: `program` points to six valid instructions that outlive the call; the kernel copies and checks them.
        // JUSTIFICATION: no safe crate installs a filter that has a listener.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) }
    };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Without this flag (kernel 5.19) a signal such as Go's preemption restarts a bind that was already done for it.
    let mut fd = install(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if fd < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        fd = install(listener);
    }
    match RawFd::try_from(fd) {
        // SAFETY: the kernel just made this descriptor for us.
        // JUSTIFICATION: it comes from a raw system call.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
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
