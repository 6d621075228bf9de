// SPDX-License-Identifier: Apache-2.0

//! Parameters of statements about many rows.

/// How the parameters of a statement are written, in the order in which they are bound. SQLite takes `$1` for a name, and looks for
/// each name among all others: when it reads the statement, and again when values are bound. Without names a statement takes as long
/// as it has parameters, and not the square of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// `?`: SQLite.
    Plain,
    /// `$1`: PostgreSQL.
    Numbered,
}

impl Parameters {
    /// `$1, $2, …` for a statement with so many parameters.
    pub fn list(self, count: usize) -> String {
        self.numbers(1, count)
    }

    /// `($1, $2), ($3, $4), …` for a statement that inserts so many rows of so many columns.
    pub fn rows(self, rows: usize, columns: usize) -> String {
        let list: Vec<_> = (0..rows)
            .map(|row| format!("({})", self.numbers(columns * row + 1, columns)))
            .collect();
        list.join(", ")
    }

    fn numbers(self, first: usize, count: usize) -> String {
        let list: Vec<_> = (first..first + count)
            .map(|number| match self {
                Self::Plain => "?".to_owned(),
                Self::Numbered => format!("${number}"),
            })
            .collect();
        list.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters::{Numbered, Plain};

    #[test]
    fn parameters_have_numbers_for_postgresql_alone() {
        assert_eq!(Numbered.list(3), "$1, $2, $3");
        assert_eq!(Numbered.rows(2, 2), "($1, $2), ($3, $4)");
        assert_eq!(Plain.list(3), "?, ?, ?");
        assert_eq!(Plain.rows(2, 2), "(?, ?), (?, ?)");
    }
}
