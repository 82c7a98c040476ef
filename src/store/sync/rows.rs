//! The rows of a batch: one statement for many, the same text for both engines.

/// Inserts the entries `$entries`, of type `[(&FeedName, ArticleId, DateTime<Utc>)]`.
macro_rules! insert_entries {
    ($tx:expr, $entries:expr) => {
        for entries in $entries.chunks($crate::store::sync::ROWS_PER_STATEMENT) {
            let mut insert = sqlx::QueryBuilder::new("INSERT INTO entries (feed, article, date) ");
            insert.push_values(entries, |mut values, (feed, article, date)| {
                values
                    .push_bind(feed.as_str().to_owned())
                    .push_bind(article.to_string())
                    .push_bind($crate::store::millis(*date));
            });
            insert.push(" ON CONFLICT (article, feed) DO UPDATE SET date = excluded.date");
            let is_full = entries.len() == $crate::store::sync::ROWS_PER_STATEMENT;
            insert.build().persistent(is_full).execute(&mut *$tx).await?;
        }
    };
}

/// Inserts or changes the articles of `$rows`. What is there already, by source and key, keeps its id.
macro_rules! upsert_articles {
    ($tx:expr, $source:expr, $revision:expr, $rows:expr) => {
        for rows in $rows.chunks(ROWS_PER_STATEMENT) {
            let mut upsert = QueryBuilder::new(
                "INSERT INTO articles (id, source, key, slug, title, label, place, section, language, date, updated, summary, \
                 featured, draft, words, details, size, modified_ns, content_hash, revision, archive) ",
            );
            upsert.push_values(rows, |mut values, row| {
                let article = &row.article;
                values
                    .push_bind(article.id.to_string())
                    .push_bind($source.to_owned())
                    .push_bind(article.key.clone())
                    .push_bind(article.slug.as_str().to_owned())
                    .push_bind(article.title.clone())
                    .push_bind(article.label.clone())
                    .push_bind(article.place.clone())
                    .push_bind(article.section.clone())
                    .push_bind(article.language.clone())
                    .push_bind(millis(article.date))
                    .push_bind(article.updated.map(millis))
                    .push_bind(article.summary.clone())
                    .push_bind(article.featured)
                    .push_bind(article.draft)
                    .push_bind(i64::from(article.words))
                    .push_bind(details_json(article))
                    .push_bind(row.size.cast_signed())
                    .push_bind(row.modified_ns)
                    .push_bind(row.content_hash.clone())
                    .push_bind($revision)
                    .push_bind(row.archive);
            });
            upsert.push(
                " ON CONFLICT (source, key) DO UPDATE SET slug = excluded.slug, title = excluded.title, label = excluded.label, \
                 place = excluded.place, section = excluded.section, language = excluded.language, date = excluded.date, \
                 updated = excluded.updated, summary = excluded.summary, featured = excluded.featured, \
                 draft = excluded.draft, words = excluded.words, details = excluded.details, size = excluded.size, \
                 modified_ns = excluded.modified_ns, content_hash = excluded.content_hash, revision = excluded.revision, \
                 archive = CASE WHEN articles.release_number IS NULL THEN excluded.archive \
                 ELSE articles.archive OR excluded.archive END, withdrawn_at = NULL",
            );
            upsert.build().persistent(rows.len() == ROWS_PER_STATEMENT).execute(&mut *$tx).await?;
        }
    };
}

/// Inserts or changes the bodies `$bodies`, of type `[(ArticleId, &str)]`.
macro_rules! upsert_bodies {
    ($tx:expr, $bodies:expr) => {
        for bodies in $bodies.chunks(ROWS_PER_STATEMENT) {
            let mut upsert = QueryBuilder::new("INSERT INTO bodies (article, html) ");
            upsert.push_values(bodies, |mut values, (article, html)| {
                values.push_bind(article.to_string()).push_bind((*html).to_owned());
            });
            upsert.push(" ON CONFLICT (article) DO UPDATE SET html = excluded.html");
            upsert.build().persistent(bodies.len() == ROWS_PER_STATEMENT).execute(&mut *$tx).await?;
        }
    };
}

/// Inserts what articles name under "Also read".
macro_rules! insert_mentions {
    ($tx:expr, $mentions:expr) => {
        for mentions in $mentions.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new("INSERT INTO mentions (slug, article) ");
            insert.push_values(mentions, |mut values, (slug, article)| {
                values.push_bind((*slug).to_owned()).push_bind(article.to_string());
            });
            insert.push(" ON CONFLICT (slug, article) DO NOTHING");
            insert.build().persistent(mentions.len() == ROWS_PER_STATEMENT).execute(&mut *$tx).await?;
        }
    };
}

/// Notes the size and time of files whose bytes changed without changing the article.
macro_rules! update_touched {
    ($tx:expr, $touched:expr) => {
        for touched in $touched.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("WITH v (id, size, modified_ns) AS (");
            update.push_values(touched, |mut values, (article, size, modified_ns)| {
                values.push_bind(article.to_string()).push_bind(size.cast_signed()).push_bind(*modified_ns);
            });
            update.push(
                ") UPDATE articles SET size = v.size, modified_ns = v.modified_ns FROM v WHERE articles.id = v.id",
            );
            update.build().persistent(touched.len() == ROWS_PER_STATEMENT).execute(&mut *$tx).await?;
        }
    };
}

/// Inserts complaints, of type `[(&Complaint, i64, &Problem)]` with each problem's position in its file.
macro_rules! insert_complaints {
    ($tx:expr, $source:expr, $complaints:expr) => {
        for complaints in $complaints.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO complaints (source, key, position, line, what, hint, size, modified_ns) ",
            );
            insert.push_values(complaints, |mut values, (complaint, position, problem)| {
                values
                    .push_bind($source.to_owned())
                    .push_bind(complaint.key.clone())
                    .push_bind(*position)
                    .push_bind(problem.line.and_then(|line| i64::try_from(line).ok()))
                    .push_bind(problem.what.clone())
                    .push_bind(problem.hint.clone())
                    .push_bind(complaint.size.cast_signed())
                    .push_bind(complaint.modified_ns);
            });
            insert.build().persistent(false).execute(&mut *$tx).await?;
        }
    };
}

pub(in crate::store) use insert_entries;
pub(super) use {insert_complaints, insert_mentions, update_touched, upsert_articles, upsert_bodies};
