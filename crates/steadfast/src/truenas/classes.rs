//! What executing methods of the API twice does.

use crate::jsonrpc::{Builder, Class};

/// Methods without an effect, by name. All others are writes until the application says otherwise.
const READS: [&str; 13] = [
    "*.query",
    "*.get_instance",
    "*.config",
    "*_choices",
    "auth.me",
    "auth.sessions",
    "core.get_jobs",
    "core.get_services",
    "core.get_methods",
    "core.ping",
    "system.*info",
    "system.version",
    "system.boot_id",
];

/// Sets these classes after those that the application has set.
pub(super) fn with_classes(builder: Builder) -> Builder {
    READS.iter().fold(builder, |builder, methods| {
        builder.class(methods, Class::Read)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::Client;

    #[test]
    fn queries_are_reads_and_everything_else_is_a_write() {
        let builder = with_classes(Client::builder("ws://127.0.0.1:1").unwrap());
        let class = |method: &str| builder.dialect().settings().class_of(method);

        for read in [
            "pool.dataset.query",
            "auth.me",
            "system.info",
            "nfs.config",
            "core.get_jobs",
            "system.version",
        ] {
            assert_eq!(class(read), Class::Read, "{read}");
        }
        for write in [
            "pool.dataset.create",
            "core.bulk",
            "system.reboot",
            "auth.logout",
            "query",
        ] {
            assert_eq!(class(write), Class::Write, "{write}");
        }
    }
}
