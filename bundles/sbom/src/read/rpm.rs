//! rpm's database in `SQLite`, as in images of Fedora, RHEL 9, SUSE and Azure.
//!
//! Source: `lib/backend/sqlite.cc` of rpm: a row of `Packages` is a header.

use std::io::Read;

use rusqlite::{Connection, MAIN_DB, config::DbConfig};

use super::rpm_header::{self, Subject};
use crate::limits::MAX_PACKAGES;
use crate::package::Finding;

/// The packages of a database of `size` bytes.
#[must_use]
pub fn sqlite(content: impl Read, size: usize) -> Finding {
    match packages(content, size) {
        Ok(packages) => packages,
        Err(error) => Finding::NotRead(format!("rpm's database cannot be read: {error}")),
    }
}

fn packages(content: impl Read, size: usize) -> rusqlite::Result<Finding> {
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact(MAIN_DB, content, size, true)?;
    // No code in the database is run: no views, triggers or functions.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'Packages' AND rootpage > 0";
    if connection.query_row(table, [], |row| row.get::<_, i64>(0))? != 1 {
        return Ok(Finding::NotRead("rpm's database has no table of packages".to_owned()));
    }
    let mut statement = connection.prepare("SELECT blob FROM Packages ORDER BY rowid")?;
    let mut rows = statement.query([])?;
    let (mut found, mut unreadable, mut seen) = (Vec::new(), 0_usize, 0_usize);
    while let Some(row) = rows.next()? {
        seen += 1;
        if seen > MAX_PACKAGES {
            return Ok(Finding::NotRead(format!("rpm's database has more than {MAX_PACKAGES} packages")));
        }
        match rpm_header::subject(row.get_ref(0)?.as_blob().unwrap_or_default()) {
            Some(Subject::Package(package)) => found.push(package),
            Some(Subject::Key) => {}
            None => unreadable += 1,
        }
    }
    if unreadable > 0 {
        return Ok(Finding::NotRead(format!("{unreadable} of {seen} headers of rpm's database cannot be read")));
    }
    Ok(Finding::Packages(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::rpm_header::tests::header;

    fn database(sql: &str, headers: &[Vec<u8>]) -> Vec<u8> {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        for header in headers {
            connection.execute("INSERT INTO Packages (blob) VALUES (?1)", [header]).unwrap();
        }
        connection.serialize(MAIN_DB).unwrap().to_vec()
    }

    const TABLE: &str = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)";

    #[test]
    fn each_row_is_a_package_and_keys_are_none() {
        let headers = [header("bash", "5.1.8", "6.el9"), header("gpg-pubkey", "fd431d51", "4ae0493b")];
        let bytes = database(TABLE, &headers);
        let Finding::Packages(packages) = sqlite(&bytes[..], bytes.len()) else { panic!() };
        let purls: Vec<_> = packages.iter().filter_map(|package| package.purl(None)).collect();
        assert_eq!(purls, ["pkg:rpm/bash@5.1.8-6.el9?arch=x86_64&epoch=1&upstream=bash-5.1.8-6.el9.src.rpm"]);
        assert_eq!(packages[0].licences, ["GPLv3+"]);
    }

    #[test]
    fn what_is_no_database_of_rpm_is_reported() {
        let is_refused = |bytes: &[u8]| matches!(sqlite(bytes, bytes.len()), Finding::NotRead(_));
        assert!(is_refused(b"Packages"));
        assert!(is_refused(&[]));
        assert!(is_refused(&database("CREATE VIEW Packages AS SELECT 1 AS blob", &[])));
        assert!(is_refused(&database(TABLE, &[b"no header".to_vec()])));
    }
}
