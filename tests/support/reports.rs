//! Reports of our own making, in the shapes that mail servers and providers give them.

use std::fmt::Write as _;

/// A token's place in what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The report's own recipient.
    To,
    /// `Delivered-To` alone: the report was forwarded.
    DeliveredTo,
    /// `Return-Path` of the returned message.
    ReturnPath,
    /// The same in upper case.
    ReturnPathInCapitals,
    /// Wrapped by a forwarder (SRS).
    Srs,
}

pub const PLACES: [Place; 5] =
    [Place::To, Place::DeliveredTo, Place::ReturnPath, Place::ReturnPathInCapitals, Place::Srs];

/// How the parts of a report are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coded {
    Plain,
    Base64,
    QuotedPrintable,
    /// Lines end in LF alone.
    BareLf,
    /// A charset that nobody knows.
    StrangeCharset,
}

pub const CODINGS: [Coded; 5] =
    [Coded::Plain, Coded::Base64, Coded::QuotedPrintable, Coded::BareLf, Coded::StrangeCharset];

/// A report to be made.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    pub token: &'a str,
    pub place: Place,
    pub coded: Coded,
    /// A Message-ID of its own.
    pub id: &'a str,
}

impl Made<'_> {
    fn bounces(&self) -> String {
        format!("bounces+{}@bounces.lantern.example", self.token)
    }

    /// The head of the report: who writes, to whom, and whatever else the shape has.
    fn head(&self, from: &str, subject: &str, more: &str) -> String {
        let to = match self.place {
            Place::To => self.bounces(),
            _ => "postmaster@lantern.example".to_owned(),
        };
        let delivered = if self.place == Place::DeliveredTo {
            format!("Delivered-To: {}\n", self.bounces())
        } else {
            String::new()
        };
        format!(
            "Return-Path: <>\n{delivered}Received: from mx.reader.example (mx.reader.example [192.0.2.7])\n\tby mail.lantern.example; \
             Tue, 24 Nov 2026 12:00:05 +0000\nDate: Tue, 24 Nov 2026 12:00:04 +0000\nFrom: {from}\nTo: {to}\n\
             Subject: {subject}\nMessage-ID: <{}@mx.reader.example>\n{more}",
            self.id
        )
    }

    /// The headers of the message that comes back.
    fn returned(&self) -> String {
        let path = match self.place {
            Place::ReturnPath => format!("Return-Path: <{}>\n", self.bounces()),
            Place::ReturnPathInCapitals => format!("Return-Path: <{}>\n", self.bounces().to_uppercase()),
            Place::Srs => format!(
                "Return-Path: <SRS0=x1Yz=RT=bounces.lantern.example={}>\n",
                self.bounces().replace("@bounces.lantern.example", "@forward.example")
            ),
            Place::To | Place::DeliveredTo => String::new(),
        };
        format!(
            "{path}Received: from mail.lantern.example by mx.reader.example; Tue, 24 Nov 2026 12:00:00 +0000\n\
             From: The Harbour Lantern <news@lantern.example>\nTo: ann@reader.example\nSubject: News: lamp\n\
             Message-ID: <0123456789abcdef0123456789abcdef@lantern.example>\nDate: Tue, 24 Nov 2026 11:59:59 +0000\n"
        )
    }

    fn finish(&self, text: &str) -> Vec<u8> {
        match self.coded {
            Coded::BareLf => text.as_bytes().to_vec(),
            _ => text.replace('\n', "\r\n").into_bytes(),
        }
    }

    fn part(&self, kind: &str, body: &str) -> String {
        let charset = match self.coded {
            Coded::StrangeCharset if kind.starts_with("text/plain") => "; charset=\"x-klingon-7\"",
            _ => "",
        };
        match self.coded {
            Coded::Base64 => {
                use base64::Engine as _;
                let coded = base64::engine::general_purpose::STANDARD.encode(body.replace('\n', "\r\n"));
                let mut lines = String::new();
                for line in coded.as_bytes().chunks(76) {
                    let _ = writeln!(lines, "{}", String::from_utf8_lossy(line));
                }
                format!("Content-Type: {kind}{charset}\nContent-Transfer-Encoding: base64\n\n{lines}\n")
            }
            Coded::QuotedPrintable => {
                let mut lines = String::new();
                for line in body.replace('=', "=3D").lines() {
                    let mut rest = line;
                    // Tokens and codes are cut wherever the line ends.
                    while rest.len() > 70 {
                        let mut at = rest.floor_char_boundary(70);
                        // An escape is not cut.
                        while rest[..at].ends_with('=') || rest[..at].ends_with("=3") {
                            at -= 1;
                        }
                        let _ = writeln!(lines, "{}=", &rest[..at]);
                        rest = &rest[at..];
                    }
                    let _ = writeln!(lines, "{rest}");
                }
                format!("Content-Type: {kind}{charset}\nContent-Transfer-Encoding: quoted-printable\n\n{lines}\n")
            }
            _ => format!("Content-Type: {kind}{charset}\n\n{body}\n"),
        }
    }

    /// A delivery status notification: the words, the fields of the recipient, and the returned message.
    pub fn status(&self, shape: &Shape, fields: &str) -> Vec<u8> {
        let mut text = self.head(
            shape.from,
            shape.subject,
            &format!(
                "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n\
                 Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{}\"\n\nThis is a MIME-encapsulated message.\n\n",
                shape.boundary
            ),
        );
        let parts = [
            self.part("text/plain", shape.words),
            self.part(
                shape.status_type,
                &format!("Reporting-MTA: dns; {}\n{}\n{fields}\n", shape.server, shape.arrival),
            ),
            match shape.returned {
                "text/rfc822-headers" => self.part(shape.returned, &self.returned()),
                kind => self.part(kind, &format!("{}\nAbout the lamp.\n", self.returned())),
            },
        ];
        for part in parts {
            let _ = write!(text, "--{}\n{part}", shape.boundary);
        }
        let _ = writeln!(text, "--{}--", shape.boundary);
        self.finish(&text)
    }

    /// A report in a server's own words, the returned message below `mark`.
    pub fn words(&self, from: &str, subject: &str, more: &str, words: &str, mark: &str) -> Vec<u8> {
        let body = format!("{words}\n{mark}\n\n{}\nAbout the lamp.\n", self.returned());
        let head = self.head(from, subject, more);
        self.finish(&format!("{head}MIME-Version: 1.0\n{}", self.part("text/plain", &body)))
    }

    /// A feedback report; `link` is the token of the returned message's link to leave by.
    pub fn feedback(&self, from: &str, fields: &str, link: Option<&str>) -> Vec<u8> {
        let mut text = self.head(
            from,
            "FW: News: lamp",
            "MIME-Version: 1.0\nContent-Type: multipart/report; boundary=\"arf\"; report-type=\"feedback-report\"\n\n",
        );
        let link = link.map_or_else(String::new, |link| {
            format!("List-Unsubscribe: <https://lantern.example/unsubscribe/{link}>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n")
        });
        let parts = [
            self.part("text/plain", "This is an email abuse report for a message received from 192.0.2.1.\n"),
            self.part("message/feedback-report", fields),
            self.part("message/rfc822", &format!("{}{link}\nAbout the lamp.\n", self.returned())),
        ];
        for part in parts {
            let _ = write!(text, "--arf\n{part}");
        }
        text.push_str("--arf--\n");
        self.finish(&text)
    }

    /// A message with nothing but text: an automatic reply, a letter.
    pub fn letter(&self, from: &str, subject: &str, more: &str, words: &str) -> Vec<u8> {
        let head = self.head(from, subject, more).replace("Return-Path: <>", "Return-Path: <ann@reader.example>");
        self.finish(&format!("{head}MIME-Version: 1.0\n{}", self.part("text/plain", words)))
    }
}

/// How a server shapes its delivery status notifications.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub name: &'static str,
    from: &'static str,
    subject: &'static str,
    boundary: &'static str,
    words: &'static str,
    server: &'static str,
    arrival: &'static str,
    status_type: &'static str,
    returned: &'static str,
}

/// Postfix, Exim, Sendmail, Exchange, Gmail, Amazon SES, Yahoo, and a server that calls its status plain text.
pub const SHAPES: [Shape; 8] = [
    Shape {
        name: "postfix",
        from: "MAILER-DAEMON@mail.lantern.example (Mail Delivery System)",
        subject: "Undelivered Mail Returned to Sender",
        boundary: "9B095B5ADSN=_01D7C5A10BEC2AFB0000mail.lantern.ex",
        words: "This is the mail system at host mail.lantern.example.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients. It's attached below.\n",
        server: "mail.lantern.example",
        arrival: "X-Postfix-Queue-ID: 4Sx7Qf1234z9rxX\nX-Postfix-Sender: rfc822; news@lantern.example\nArrival-Date: Tue, 24 Nov 2026 11:59:59 +0000 (UTC)\n",
        status_type: "message/delivery-status",
        returned: "message/rfc822",
    },
    Shape {
        name: "exim",
        from: "Mail Delivery System <Mailer-Daemon@mail.lantern.example>",
        subject: "Mail delivery failed: returning message to sender",
        boundary: "1700000000-eximdsn-804289383",
        words: "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error.\n",
        server: "mail.lantern.example",
        arrival: "",
        status_type: "message/delivery-status",
        returned: "text/rfc822-headers",
    },
    Shape {
        name: "sendmail",
        from: "Mail Delivery Subsystem <MAILER-DAEMON>",
        subject: "Returned mail: see transcript for details",
        boundary: "iB2BT0vF031234.1700000000/mail.lantern.example",
        words: "The original message was received at Tue, 24 Nov 2026 11:59:59 GMT\nfrom localhost [127.0.0.1]\n\n   ----- The following addresses had permanent fatal errors -----\n<ann@reader.example>\n",
        server: "mail.lantern.example",
        arrival: "Received-From-MTA: DNS; localhost\nArrival-Date: Tue, 24 Nov 2026 11:59:59 GMT\n",
        status_type: "message/delivery-status",
        returned: "message/rfc822",
    },
    Shape {
        name: "exchange",
        from: "<postmaster@reader.example>",
        subject: "Undeliverable: News: lamp",
        boundary: "_000_a1b2c3d4e5f6_",
        words: "Delivery has failed to these recipients or groups:\n\nann@reader.example\n\nDiagnostic information for administrators:\n\nGenerating server: AM0PR01MB0000.reader.example\n",
        server: "AM0PR01MB0000.reader.example",
        arrival: "Received-From-MTA: dns;mail.lantern.example\nArrival-Date: Tue, 24 Nov 2026 11:59:59 +0000\n",
        status_type: "message/delivery-status",
        returned: "message/rfc822",
    },
    Shape {
        name: "gmail",
        from: "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        subject: "Delivery Status Notification (Failure)",
        boundary: "000000000000a0b1c205d1e2f3a4",
        words: "** Address not found **\n\nYour message wasn't delivered.\n\nLearn more here: https://support.example.com/mail/?p=NoSuchUser\n",
        server: "googlemail.example",
        arrival: "Arrival-Date: Tue, 24 Nov 2026 03:59:59 -0800 (PST)\nX-Original-Message-ID: <0123456789abcdef0123456789abcdef@lantern.example>\n",
        status_type: "message/delivery-status",
        returned: "message/rfc822",
    },
    Shape {
        name: "ses",
        from: "MAILER-DAEMON@eu-west-1.ses.example",
        subject: "Delivery Status Notification (Failure)",
        boundary: "_3AB0F1B2-1234-4C56-89AB-0123456789AB_",
        words: "An error occurred while trying to deliver the mail to the following recipients:\nann@reader.example\n",
        server: "a1-23.smtp-out.eu-west-1.ses.example",
        arrival: "",
        status_type: "message/delivery-status",
        returned: "message/rfc822",
    },
    Shape {
        name: "yahoo",
        from: "MAILER-DAEMON@yahoo.example",
        subject: "Failure Notice",
        boundary: "=_yahoo_1700000000_1",
        words: "Sorry, we were unable to deliver your message to the following address.\n\n<ann@reader.example>:\n",
        server: "sonic301.yahoo.example",
        arrival: "",
        status_type: "message/delivery-status",
        returned: "message/rfc822",
    },
    Shape {
        name: "status as text",
        from: "postmaster@old.reader.example",
        subject: "Delivery failure",
        boundary: "old-gateway",
        words: "Your message was not delivered.\n",
        server: "gateway.reader.example",
        arrival: "",
        status_type: "text/plain",
        returned: "text/rfc822-headers",
    },
];

/// The fields of one recipient.
pub fn recipient(action: &str, status: &str, diagnostic: &str) -> String {
    let mut fields = format!(
        "Final-Recipient: rfc822; ann@reader.example\nOriginal-Recipient: rfc822;ann@reader.example\nAction: {action}\n"
    );
    if !status.is_empty() {
        let _ = writeln!(fields, "Status: {status}");
    }
    fields.push_str("Remote-MTA: dns; mx.reader.example\n");
    if !diagnostic.is_empty() {
        let _ = writeln!(fields, "Diagnostic-Code: {diagnostic}");
    }
    fields
}
