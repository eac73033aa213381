//! The file of the socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::json;
use steadfast_bridge::BindError;
use tempfile::TempDir;

use super::lab::{Lab, bind};

#[tokio::test]
async fn only_its_user_may_open_the_socket_and_its_lock() {
    let lab = Lab::start().await;

    let mode = |name: &str| {
        let file = fs::metadata(lab.folder.path().join(name)).unwrap();
        file.permissions().mode() & 0o777
    };

    assert_eq!([mode("bridge.sock"), mode("bridge.sock.lock")], [0o600; 2]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_socket_file_of_a_bridge_that_was_killed_is_replaced() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("bridge.sock");
    // Dropping a listener leaves its file, as the end of a process does.
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());

    let server = bind(socket.clone()).await.unwrap();

    let connected = tokio::net::UnixStream::connect(&socket).await;
    assert!(connected.is_ok(), "{connected:?}");
    drop(server);
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_socket_of_another_program_that_listens_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("other.sock");
    let other = UnixListener::bind(&socket).unwrap();

    let error = bind(socket.clone()).await.unwrap_err();

    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    drop(other);
}

#[tokio::test]
async fn a_second_bridge_on_the_same_socket_is_refused_and_the_first_one_stays() {
    let lab = Lab::start().await;

    let error = bind(lab.socket.clone()).await.unwrap_err();

    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    let mut program = lab.program().await;
    let pong = program.call("core.ping", &json!([])).await;
    assert_eq!(pong["result"], "pong");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn another_file_at_the_path_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("notes");
    fs::write(&file, "keep").unwrap();

    let error = bind(file.clone()).await.unwrap_err();

    assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "keep");
}

#[tokio::test]
async fn a_lock_that_is_a_link_to_another_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("bridge.sock");
    let target = folder.path().join("target");
    std::os::unix::fs::symlink(&target, folder.path().join("bridge.sock.lock")).unwrap();

    let error = bind(socket).await.unwrap_err();

    assert!(matches!(error, BindError::Socket { .. }), "{error}");
    assert!(!target.exists());
}

#[tokio::test]
async fn the_end_of_a_bridge_removes_its_socket() {
    let lab = Lab::start().await;
    let (socket, mut program) = (lab.socket.clone(), lab.program().await);
    program.call("core.ping", &json!([])).await;
    let folder = lab.folder.path().to_owned();
    assert!(folder.exists());

    let nas = lab.stop().await;

    nas.unwrap();
    assert!(!socket.exists());
    assert_eq!(program.next().await, None);
}
