//! What the columns of a file mean: of ours, and of those that other tools export.
//!
//! | Tool | Known by | Who is not taken |
//! |---|---|---|
//! | listmonk | `uuid`, `attributes` | `status`: disabled; blocklisted is banned |
//! | Mailchimp | `Email Address`, `MEMBER_RATING` or `LEID` | `UNSUB_TIME`, `unsubscribed_…` and `nonsubscribed_…`; `CLEAN_TIME` and `cleaned_…` are banned |
//! | Ghost | `subscribed_to_emails` | `subscribed_to_emails` false, `deleted_at` |
//! | Substack | `email_disabled`, `Subscription type` or `active_subscription` | `email_disabled` true |
//! | Buttondown | `email_address` or `email`, and `type`, `creation_date` or their like | `type`: unsubscribed, unactivated; bounced, complained and blocked are banned |
//!
//! What else they know becomes attributes: a column `attribute.city` of any file, the `attributes` of ours and of listmonk's,
//! Mailchimp's merge fields, groups and tags, Ghost's labels, tiers and note, Buttondown's tags, metadata and notes. In a file of
//! anyone, `state` or `status` is understood. A word that is not known takes nobody: who is asked twice is less annoyed than
//! who is written to after leaving.

use serde_json::{Map, Value};

use super::COLUMNS;
use super::rows::Fields;
use crate::domain::attributes::typed;
use crate::domain::subscription::SubscriptionState;
use crate::problem::{Problem, did_you_mean};

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tool {
    /// This program.
    Tidings,
    /// listmonk.
    Listmonk,
    /// Mailchimp.
    Mailchimp,
    /// Ghost.
    Ghost,
    /// Substack.
    Substack,
    /// Buttondown.
    Buttondown,
    /// Anyone.
    Unknown,
}

impl Tool {
    /// Its name, if it is another's.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Tidings | Self::Unknown => None,
            Self::Listmonk => Some("listmonk"),
            Self::Mailchimp => Some("Mailchimp"),
            Self::Ghost => Some("Ghost"),
            Self::Substack => Some("Substack"),
            Self::Buttondown => Some("Buttondown"),
        }
    }

    fn of(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|known| known == name);
        let any = |some: &[&str]| some.iter().any(|name| has(name));
        if has("subscribed_to_emails") {
            Self::Ghost
        } else if has("uuid") && has("email") && any(&["attributes", "attribs"]) {
            Self::Listmonk
        } else if any(&["member_rating", "leid", "euid"]) {
            Self::Mailchimp
        } else if any(&["email_disabled", "active_subscription", "subscription type"]) {
            Self::Substack
        } else if any(&["email_address", "email"])
            && any(&[
                "unsubscription_date",
                "undeliverability_date",
                "subscriber_type",
                "creation_date",
                "secondary_id",
            ])
        {
            Self::Buttondown
        } else if has("address") && any(&["feeds", "subscriptions"]) && any(&["state", "suppressed"]) {
            Self::Tidings
        } else {
            Self::Unknown
        }
    }
}

/// What a field is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Address,
    Name,
    FirstName,
    LastName,
    Language,
    TimeZone,
    Feeds,
    State,
    CreatedAt,
    ConfirmedAt,
    EndedAt,
    Preferred,
    PausedUntil,
    Suppressed,
    BouncedAt,
    Reason,
    Wanted,
    Disabled,
    /// A JSON object.
    Attributes,
    /// A list in JSON: the lines of the ledger.
    Consents,
}

const KINDS: usize = Column::Consents as usize + 1;

/// The fields of a line that mean something.
pub(super) type Cells = [String; KINDS];

/// The same, and attributes that have fields of their own.
pub(super) type Said = (Cells, Map<String, Value>);

fn column(tool: Tool, name: &str) -> Option<Column> {
    Some(match (tool, name) {
        (_, "address" | "email" | "e-mail" | "email address" | "email_address" | "mail") => Column::Address,
        (_, "name" | "full name") => Column::Name,
        (_, "first name" | "first_name") => Column::FirstName,
        (_, "last name" | "last_name") => Column::LastName,
        (_, "language") => Column::Language,
        (_, "time_zone" | "timezone" | "time zone") => Column::TimeZone,
        (Tool::Tidings | Tool::Unknown, "feeds" | "subscriptions") => Column::Feeds,
        (Tool::Tidings | Tool::Unknown, "preferred") => Column::Preferred,
        (Tool::Tidings, "paused_until") => Column::PausedUntil,
        (Tool::Tidings, "consents") => Column::Consents,
        (Tool::Tidings | Tool::Unknown, "suppressed") => Column::Suppressed,
        (Tool::Tidings | Tool::Unknown | Tool::Listmonk, "state" | "status")
        | (Tool::Buttondown, "type" | "subscriber_type") => Column::State,
        (Tool::Mailchimp, "optin_time")
        | (Tool::Buttondown, "creation_date")
        | (Tool::Substack, "created at" | "start date")
        | (_, "created_at") => Column::CreatedAt,
        (Tool::Mailchimp, "confirm_time") | (_, "confirmed_at") => Column::ConfirmedAt,
        (Tool::Mailchimp, "unsub_time")
        | (Tool::Buttondown, "unsubscription_date")
        | (Tool::Ghost, "deleted_at")
        | (Tool::Tidings | Tool::Unknown, "ended_at" | "unsubscribed_at") => Column::EndedAt,
        (Tool::Mailchimp, "clean_time") | (Tool::Buttondown, "undeliverability_date") => Column::BouncedAt,
        (Tool::Mailchimp, "unsub_reason") | (Tool::Buttondown, "unsubscription_reason") => Column::Reason,
        (Tool::Ghost, "subscribed_to_emails") => Column::Wanted,
        (Tool::Substack, "email_disabled") => Column::Disabled,
        (Tool::Tidings | Tool::Unknown | Tool::Listmonk, "attributes" | "attribs") => Column::Attributes,
        _ => return None,
    })
}

/// What stands before the name of an attribute in a heading.
const PREFIX: &str = "attribute.";

/// Columns of Mailchimp that say nothing of a person's own (Mailchimp, "About Your Contacts Export").
const MAILCHIMP: [&str; 18] = [
    "member_rating",
    "optin_ip",
    "confirm_ip",
    "latitude",
    "longitude",
    "gmtoff",
    "dstoff",
    "cc",
    "region",
    "last_changed",
    "leid",
    "euid",
    "notes",
    "unsub_campaign_title",
    "unsub_campaign_id",
    "unsub_reason_other",
    "clean_campaign_title",
    "clean_campaign_id",
];

/// What a column holds that is neither who somebody is nor what they chose.
#[derive(Debug, Clone, PartialEq, Eq)]
struct More {
    /// The attribute that it becomes.
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One value.
    One,
    /// Several, between commas or as JSON.
    List,
    /// A JSON object, each field of which is an attribute.
    Object,
}

/// The attribute that a column holds: one of ours behind its prefix, and what other tools know besides. `lists` names columns
/// that hold several values.
fn more(tool: Tool, name: &str, lists: &[String]) -> Option<More> {
    let name = name.trim();
    let behind = name.get(PREFIX.len()..).filter(|_| name[..PREFIX.len()].eq_ignore_ascii_case(PREFIX));
    let word = clean(name);
    let (name, kind) = match (tool, word.as_str()) {
        _ if behind.is_some_and(|behind| !behind.trim().is_empty()) => (behind.unwrap_or_default().trim(), Kind::One),
        (_, "") => return None,
        (Tool::Mailchimp | Tool::Buttondown, "tags") => ("tags", Kind::List),
        (Tool::Mailchimp, word) if !MAILCHIMP.contains(&word) => (name, Kind::One),
        (Tool::Ghost, word @ ("labels" | "tiers")) => (word, Kind::List),
        (Tool::Ghost, word @ ("note" | "complimentary_plan")) | (Tool::Buttondown, word @ "notes") => (word, Kind::One),
        (Tool::Buttondown, word @ "metadata") => (word, Kind::Object),
        _ => return None,
    };
    let is_list = lists.iter().any(|list| clean(list) == word);
    Some(More { name: name.to_owned(), kind: if is_list { Kind::List } else { kind } })
}

impl More {
    /// Keeps what a cell says.
    fn keep(&self, cell: &str, attributes: &mut Map<String, Value>) {
        let json = || serde_json::from_str(cell).ok();
        match (self.kind, json()) {
            (Kind::List, Some(list @ Value::Array(_))) => self.keep_value(list, attributes),
            (Kind::List, _) => self.keep_value(listed(cell), attributes),
            (Kind::Object, Some(fields @ Value::Object(_))) => self.keep_value(fields, attributes),
            (Kind::One | Kind::Object, _) => self.keep_value(typed(cell), attributes),
        }
    }

    /// Keeps a value of JSON; a column of its own goes before a field of an object.
    fn keep_value(&self, value: Value, attributes: &mut Map<String, Value>) {
        match value {
            Value::String(text) if self.kind == Kind::List => {
                attributes.insert(self.name.clone(), listed(&text));
            }
            Value::Object(fields) if self.kind == Kind::Object => {
                for (name, value) in fields {
                    attributes.entry(name).or_insert(value);
                }
            }
            value => {
                attributes.insert(self.name.clone(), value);
            }
        }
    }
}

/// What stands between commas, each perhaps between quotation marks; a comma behind a backslash belongs to it.
fn listed(cell: &str) -> Value {
    let cell = cell.replace("\\,", "\u{0}");
    let parts = cell.split(',').map(|part| part.trim().trim_matches('"').trim()).filter(|part| !part.is_empty());
    Value::Array(parts.map(|part| Value::String(part.replace('\0', ","))).collect())
}

fn clean(name: &str) -> String {
    name.trim().to_lowercase()
}

/// How the fields of a file are read.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) tool: Tool,
    /// What each field of CSV is about.
    places: Vec<Option<Column>>,
    /// What else each field of CSV holds.
    more: Vec<Option<More>>,
    /// The columns that hold several values.
    lists: Vec<String>,
}

impl Layout {
    /// By the heading of CSV, or the names of the first object of JSON.
    pub(super) fn of(first: &Fields, file: &str, lists: &[String]) -> Result<Self, Problem> {
        let written: Vec<&String> = match first {
            Fields::Placed(names) => names.iter().collect(),
            Fields::Named(fields) => fields.keys().collect(),
        };
        let names: Vec<String> = written.iter().map(|name| clean(name)).collect();
        let tool = Tool::of(&names);
        let mut places: Vec<Option<Column>> = vec![];
        let mut attributes: Vec<Option<More>> = vec![];
        if matches!(first, Fields::Placed(_))
            && let Some(list) = lists.iter().find(|list| !names.contains(&clean(list)))
        {
            let what = format!("there is no column {list:?}, which is to hold several values");
            return Err(Problem::new(file, what).at(1).hint(format!("there are {}", names.join(", "))));
        }
        for (name, written) in names.iter().zip(written) {
            let found = column(tool, name);
            let held = if found.is_none() { more(tool, written, lists) } else { None };
            if held.is_some() && attributes.contains(&held) {
                let what = format!("the column {name:?} comes twice");
                return Err(Problem::new(file, what).at(1).hint("remove one of them"));
            }
            let is_attribute = held.is_some();
            attributes.push(held);
            if found.is_some() && places.contains(&found) {
                if tool.name().is_none() {
                    let what = format!("the column {name:?} comes twice, once under another name perhaps");
                    return Err(Problem::new(file, what).at(1).hint("remove one of them"));
                }
                places.push(None);
                continue;
            }
            if found.is_none()
                && !is_attribute
                && tool.name().is_none()
                && let Some(meant) = did_you_mean(name, COLUMNS.into_iter().take(5))
            {
                let what = format!("unknown column {name:?}");
                return Err(Problem::new(file, what).at(1).hint(format!("did you mean {meant}?")));
            }
            places.push(found);
        }
        if !places.contains(&Some(Column::Address)) {
            let what = "there is no column \"address\"";
            let hint = format!("the first line names the columns: {}", COLUMNS.join(","));
            return Err(Problem::new(file, what).at(1).hint(hint));
        }
        Ok(Self { tool, places, more: attributes, lists: lists.to_vec() })
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.places.contains(&Some(column))
    }

    /// The fields of a line that mean something.
    ///
    /// A line with another number of fields is a fault, for then none can be trusted to be what it seems; blank ones at
    /// the end are none.
    pub(super) fn cells(&self, fields: Fields) -> Result<Said, (String, &'static str)> {
        let mut cells = Cells::default();
        let mut attributes = Map::new();
        match fields {
            Fields::Named(fields) => self.named(fields, &mut cells, &mut attributes),
            Fields::Placed(fields) => {
                let width = self.places.len();
                let filled = fields.iter().rposition(|field| !field.trim().is_empty()).map_or(0, |at| at + 1);
                if fields.len() < width || filled > width {
                    let what = format!("{} fields where the first line has {width}", fields.len());
                    return Err((
                        what,
                        "write one for each column, and fields that hold a comma between quotation marks",
                    ));
                }
                for ((field, place), more) in fields.into_iter().zip(&self.places).zip(&self.more) {
                    if let Some(more) = more.as_ref().filter(|_| !field.trim().is_empty()) {
                        more.keep(&super::rearmed(field.trim()), &mut attributes);
                    }
                    if let Some(column) = place {
                        let plain = super::rearmed(field.trim());
                        let plain = (plain.len() != field.len()).then(|| plain.into_owned());
                        cells[*column as usize] = plain.unwrap_or(field);
                    }
                }
            }
        }
        Ok((cells, attributes))
    }

    fn named(&self, fields: Map<String, Value>, cells: &mut Cells, attributes: &mut Map<String, Value>) {
        for (name, value) in fields {
            let Some(column) = column(self.tool, &clean(&name)) else {
                if let Some(more) = more(self.tool, &name, &self.lists) {
                    more.keep_value(value, attributes);
                }
                continue;
            };
            let is_json = match column {
                Column::Attributes => value.is_object(),
                Column::Consents => value.is_array(),
                _ => false,
            };
            if is_json {
                cells[column as usize] = value.to_string();
                continue;
            }
            if column == Column::Feeds
                && let Value::Array(list) = &value
                && list.iter().any(Value::is_object)
            {
                spread(list, cells);
                continue;
            }
            cells[column as usize] = plain(&value);
        }
    }
}

/// Subscriptions as objects, spread over the columns of CSV.
fn spread(list: &[Value], cells: &mut Cells) {
    let one = |name: &str| {
        let values: Vec<String> = list.iter().map(|one| plain(&one[name])).collect();
        values.join(";")
    };
    let feeds: Vec<String> = list
        .iter()
        .map(|one| match (plain(&one["feed"]), plain(&one["cadence"])) {
            (feed, cadence) if cadence.is_empty() => feed,
            (feed, cadence) => format!("{feed}:{cadence}"),
        })
        .collect();
    cells[Column::Feeds as usize] = feeds.join(";");
    for (column, name) in [
        (Column::State, "state"),
        (Column::CreatedAt, "created_at"),
        (Column::ConfirmedAt, "confirmed_at"),
        (Column::EndedAt, "ended_at"),
        (Column::Preferred, "preferred"),
        (Column::PausedUntil, "paused_until"),
    ] {
        cells[column as usize] = one(name);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// How someone stands with whoever wrote the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Wants mail, or stands so with us.
    In(SubscriptionState),
    /// Left.
    Left,
    /// Never said yes.
    Unconfirmed,
    /// Must not be written to, and why.
    Banned(&'static str),
    /// Nobody knows.
    Odd(String),
}

/// How the person of a line stands. `whole` is what the file's name says of all in it.
pub(super) fn standing(tool: Tool, cells: &Cells, whole: Option<&Standing>) -> Standing {
    let cell = |column: Column| cells[column as usize].trim();
    let is = |column, words: &[&str]| words.iter().any(|word| cell(column).eq_ignore_ascii_case(word));
    if tool == Tool::Tidings {
        return Standing::In(SubscriptionState::Active);
    }
    let reason = cell(Column::Reason).to_lowercase();
    let has_complained = ["abuse", "spam", "complain"].iter().any(|word| reason.contains(word));
    let said = word(cell(Column::State));
    if !cell(Column::Suppressed).is_empty() {
        return Standing::Banned("blocked");
    }
    match said {
        Standing::Banned(_) => return said,
        _ if has_complained => return Standing::Banned("complained"),
        _ => {}
    }
    if !cell(Column::BouncedAt).is_empty() {
        return Standing::Banned("bounced");
    }
    if let Some(whole) = whole {
        return whole.clone();
    }
    if !cell(Column::EndedAt).is_empty() || is(Column::Disabled, &["true", "1", "yes"]) {
        return Standing::Left;
    }
    if tool == Tool::Ghost && !is(Column::Wanted, &["true", "1", "yes"]) {
        return Standing::Left;
    }
    said
}

/// What the name of a Mailchimp export says of everyone in it.
pub(super) fn whole(tool: Tool, file: &str) -> Option<Standing> {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    if tool != Tool::Mailchimp {
        None
    } else if name.starts_with("cleaned") {
        Some(Standing::Banned("bounced"))
    } else if name.starts_with("unsubscribed") {
        Some(Standing::Left)
    } else if name.starts_with("nonsubscribed") || name.starts_with("non-subscribed") {
        Some(Standing::Unconfirmed)
    } else {
        None
    }
}

fn word(text: &str) -> Standing {
    match text.to_lowercase().as_str() {
        "" | "active" | "enabled" | "subscribed" | "confirmed" | "regular" | "premium" | "free" | "gifted"
        | "trialed" | "past_due" | "churning" => Standing::In(SubscriptionState::Active),
        "ended" | "unsubscribed" | "left" | "removed" | "disabled" | "opted out" | "optout" => Standing::Left,
        "pending" | "unconfirmed" | "unactivated" | "nonsubscribed" => Standing::Unconfirmed,
        "bounced" | "cleaned" | "undeliverable" | "invalid" => Standing::Banned("bounced"),
        "complained" | "complaint" | "spam" | "abuse" => Standing::Banned("complained"),
        "blocklisted" | "blacklisted" | "blocked" | "banned" | "spammy" | "suppressed" => Standing::Banned("blocked"),
        other => Standing::Odd(other.chars().take(40).collect()),
    }
}
