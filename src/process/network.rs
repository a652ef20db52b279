//! A network of its own: a namespace with nothing in it but loopback, so that what listens there on a fixed port meets
//! nobody else's, and nobody else's answer is taken for its own.
//!
//! A holder, a process of the service's own program, makes the namespace and keeps it; others enter it by the
//! holder's pid before they become what they are to be. Without root this takes a user namespace, which some systems
//! forbid: then [`Network::hold`] says so, and it is the caller who decides what follows.
//!
//! Deliberately absent: a way out. What needs other hosts runs in the machine's own network.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// What the holder says when the network is there.
const READY: &str = "ready";

/// A network of its own, for as long as this lives.
#[derive(Debug)]
pub struct Network {
    holder: Child,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// The system does not allow it: the sentence says what was tried.
    pub fn hold(binary: &Path) -> io::Result<Network> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the holder of a network is started here"
        )]
        let mut holder = Command::new(binary)
            .args(["hold-network", "-"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        // From here on the holder is ended by `drop` whatever happens.
        let network = Network { holder };
        match line.trim() {
            READY => Ok(network),
            "" => Err(io::Error::other(
                "the holder of the network ended without a word",
            )),
            why => Err(io::Error::other(why.to_owned())),
        }
    }

    /// The process by whose id it is entered.
    #[must_use]
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It ends by itself when its standard input closes; this is for one that is stopped.
        let _ended = self.holder.kill();
        let _reaped = self.holder.wait();
    }
}

/// The hidden subcommand `hold-network -`: keeps a network until its standard input closes.
pub fn hold_main() -> i32 {
    match make() {
        Ok(()) => println!("{READY}"),
        Err(error) => {
            println!("{error}");
            return 1;
        }
    }
    // Its starter is gone, or wants it no longer.
    let _closed = io::stdin().read_to_end(&mut Vec::new());
    0
}

/// Makes this process, which has one thread, a member of the network that `holder` keeps.
///
/// # Errors
/// The holder is gone, or the system does not allow it.
pub(super) fn enter(holder: u32) -> io::Result<()> {
    let open = |kind: &str| File::open(format!("/proc/{holder}/ns/{kind}"));
    let (user, network) = (open("user")?, open("net")?);
    // Allowed without entering the user namespace where this process is root in the outer one.
    if setns(&network, CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    setns(&user, CloneFlags::CLONE_NEWUSER)?;
    setns(&network, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

fn make() -> io::Result<()> {
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|e| {
            io::Error::other(format!(
                "a user namespace for a network of its own is not allowed here: {e}"
            ))
        })?;
    }
    bring_loopback_up().map_err(|e| io::Error::other(format!("loopback cannot be brought up: {e}")))
}

/// Asks the kernel over rtnetlink to set the first interface, which is loopback, up.
fn bring_loopback_up() -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // 0 is NETLINK_ROUTE
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &set_link_up(1), SendFlags::empty(), &kernel)?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    match error_of(&answer[..length]) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::other("the kernel's answer is not understood")),
    }
}

/// `RTM_NEWLINK` for one interface, with `IFF_UP` set: `struct nlmsghdr` and `struct ifinfomsg` of rtnetlink(7).
fn set_link_up(interface: i32) -> Vec<u8> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
    const IFF_UP: u32 = 0x1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes()); // sequence number
    message.extend(0_u32.to_ne_bytes()); // port: the kernel's to fill in
    message.extend([0; 4]); // family, padding, type
    message.extend(interface.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes()); // which flags change
    message
}

/// The errno of an `NLMSG_ERROR`; 0 is the acknowledgement.
fn error_of(answer: &[u8]) -> Option<i32> {
    const NLMSG_ERROR: u16 = 2;
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let errno = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(-errno)
}
