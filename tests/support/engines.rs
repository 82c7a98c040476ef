//! One test, both databases.

/// Runs tests of the form `async fn name(url: String)` on SQLite and on PostgreSQL, as `name::sqlite` and
/// `name::postgres`; each gets a database of its own, empty, and rid of when the test ends or the process does.
///
/// The functions stand outside the macro so that rustfmt and the compiler's messages treat them like any other:
///
/// ```ignore
/// mod support;
///
/// support::engines::for_each_engine! { a_delivery_is_claimed_once, a_lost_lease_is_refused }
///
/// async fn a_delivery_is_claimed_once(url: String) { … }
/// ```
macro_rules! for_each_engine {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                // The folder goes when the test ends: it has to outlive the last use of the file.
                let folder = tempfile::tempdir().expect("a temporary folder");
                super::$name(format!("sqlite://{}/test.db", folder.path().display())).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(url) = $crate::support::postgres::fresh_database() {
                    super::$name(url).await;
                }
            }
        }
    )+ };
}

pub(crate) use for_each_engine;
