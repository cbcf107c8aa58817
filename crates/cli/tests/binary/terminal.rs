//! A terminal of 80 columns and 24 lines to run the binary in.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::support::in_time;

/// The user's end of it: what is typed, and what has been shown.
pub(crate) struct Terminal {
    keyboard: File,
    /// What the program has written, as it comes.
    screen: mpsc::Receiver<Vec<u8>>,
    shown: String,
    pub(crate) child: Child,
}

impl Terminal {
    /// Runs the command in a terminal.
    pub(crate) fn run(command: &mut Command) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        tcsetwinsize(&user, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap().into_string().unwrap();
        let program = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        command.env("TERM", "xterm").stdin(program()).stdout(program()).stderr(program());
        let child = command.spawn().unwrap();
        // The command keeps its ends of the terminal, and the end of the output would never be seen.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut output = File::from(user);
        let keyboard = output.try_clone().unwrap();
        let (shows, screen) = mpsc::channel(64);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                if shows.blocking_send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keyboard, screen, shown: String::new(), child }
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, and gives all that was shown since the last wait, this included.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                return self.shown.drain(..at + text.len()).collect();
            }
            let more = tokio::time::timeout(PATIENCE, self.screen.recv()).await;
            match more {
                Ok(Some(bytes)) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(None) | Err(_) => panic!("`{text}` was never shown, only {:?}", self.shown),
            }
        }
    }

    /// Waits for the end, and gives what was shown since the last wait, and whether all went well.
    pub(crate) async fn ended(mut self) -> (String, bool) {
        in_time(async {
            while let Some(bytes) = self.screen.recv().await {
                self.shown.push_str(&String::from_utf8_lossy(&bytes));
            }
        })
        .await;
        (self.shown, in_time(self.child.wait()).await.unwrap().success())
    }
}

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
