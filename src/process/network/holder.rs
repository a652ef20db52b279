//! The holder: a process of the service's own program that makes a network, keeps it, and answers questions from inside.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use rustix::process::{getegid, geteuid};
use serde::Serialize;

use super::Question;
use super::ask;

/// The hidden subcommand `hold-network -`: keeps a network, and answers questions, until its standard input closes.
pub fn hold_main() -> i32 {
    // Not that of the path that it was started by, which is the service's own.
    let _unnamed = rustix::thread::set_name(c"network");
    let made = make().map_err(|e| e.to_string());
    let failed = made.is_err();
    if tell(&made).is_err() || failed {
        return 1;
    }
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let told = match serde_json::from_str(&line) {
            Ok(Question::FreePort) => tell(&ask::free_port().map_err(|e| e.to_string())),
            Ok(Question::Get(url)) => tell(&ask::get(&url)),
            Err(_) => break,
        };
        if told.is_err() {
            break;
        }
    }
    0
}

fn tell(answer: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// Makes this process, which has one thread, a member of the network that `holder` keeps.
///
/// # Errors
/// The holder is gone, or the system does not allow it.
pub(in crate::process) fn enter(holder: u32) -> io::Result<()> {
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
        let (user, group) = (geteuid(), getegid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|e| {
            io::Error::other(format!(
                "a user namespace for a network of its own is not allowed here: {e}"
            ))
        })?;
        // In it, everybody who enters is who they were; user_namespaces(7) wants the groups settled in this order.
        let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text);
        write("setgroups", "deny".to_owned())
            .and_then(|()| write("uid_map", format!("{user} {user} 1", user = user.as_raw())))
            .and_then(|()| {
                write(
                    "gid_map",
                    format!("{group} {group} 1", group = group.as_raw()),
                )
            })
            .map_err(|e| io::Error::other(format!("the user namespace cannot be set up: {e}")))?;
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
