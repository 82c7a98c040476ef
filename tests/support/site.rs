//! A publication served in this process, on a port of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::Row as _;
use tidings::domain::address::EmailAddress;
use tidings::domain::pass::Asked;
use tidings::task::dispatch::Stop;
use tidings::task::{Clock, confirm, run};
use tidings::web::{self, App};

use super::http::{Answer, ask};
use super::place::Place;

/// A server that stops when it is dropped.
pub struct Site {
    pub place: Place,
    pub app: Arc<App>,
    pub at: SocketAddr,
    word: tokio::sync::watch::Sender<bool>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.word.send(true);
    }
}

impl Site {
    /// Syncs, publishes and serves `place`, its links leading to this server.
    pub async fn serve(place: Place, clock: Clock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut config = place.config();
        config.listen = at;
        let publication = tidings::task::Publication::open(config, clock).await.expect("the publication opens");
        let app = Arc::new(App::new(publication).expect("the pages render"));
        run::sync_and_publish(&app.publication, &app.site).await.expect("it can be published");
        let (word, stop) = Stop::new();
        tokio::spawn(web::serve(listener, Arc::clone(&app), stop));
        Self { place, app, at, word }
    }

    /// Syncs and publishes again.
    pub async fn refresh(&self) {
        run::sync_and_publish(&self.app.publication, &self.app.site).await.expect("it can be published");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub async fn get(&self, path: &str) -> Answer {
        ask(self.at, "GET", path, &[], b"").await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.at, "GET", path, headers, b"").await
    }

    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        ask(self.at, method, path, &[], b"").await
    }

    /// Posts a form as a browser does: the sign-up form with a pass that has rested, as after its second press.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let address = fields.iter().find(|(name, _)| *name == "address").map_or("", |(_, address)| address);
        let pass =
            EmailAddress::parse(address).ok().filter(|_| path == "/subscribe").map(|address| self.pass(&address));
        let mut fields = fields.to_vec();
        fields.extend(pass.iter().flat_map(|(consent, pass)| [("consent", consent.as_str()), ("pass", pass.as_str())]));
        self.post_as_it_is(path, &fields).await
    }

    /// Version of the text that is agreed to, and a pass for an address, ten seconds old.
    pub fn pass(&self, address: &EmailAddress) -> (String, String) {
        let publication = &self.app.publication;
        let (key, consent) = (address.key(), self.app.consents[0].version.clone());
        let asked = Asked { address_key: &key, consent: &consent };
        let pass = publication.keyring.pass(asked, publication.clock.now() - chrono::TimeDelta::seconds(10));
        (consent, pass)
    }

    /// Posts these fields and no other.
    pub async fn post_as_it_is(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        ask(self.at, "POST", path, &kind, body.finish().as_bytes()).await
    }

    /// Sends the confirmations that wait, and gives every message of the outbox since the last time, by file name.
    pub async fn mail(&self) -> Vec<Vec<u8>> {
        confirm::send_confirmations(&self.app.publication).await.expect("confirmations go to the outbox");
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&self.app.publication.config.mail.outbox)
            .map(|listing| listing.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        paths.sort();
        let take = |path: &PathBuf| {
            let message = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            message
        };
        paths.iter().map(take).collect()
    }

    /// Everything in the database, as text: to see whether anything changed.
    pub async fn database(&self) -> String {
        let url = format!("sqlite://{}", self.place.path().join("tidings.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.expect("the database opens");
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                .fetch_all(&pool)
                .await
                .unwrap();
        let mut all = String::new();
        for table in tables {
            let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
                .bind(&table)
                .fetch_all(&pool)
                .await
                .unwrap();
            let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
            let sql = format!("SELECT {} AS line FROM {table} ORDER BY 1", quoted.join(" || ',' || "));
            for row in sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap() {
                let _ = writeln!(all, "{table}: {}", row.get::<String, _>("line"));
            }
        }
        pool.close().await;
        all
    }
}
