//! Pool time as PostgreSQL keeps it: a timestamp in microseconds.

use bytes::{BufMut, BytesMut};
use muster_model::PoolTime;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Microseconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// A moment in a `timestamptz` column. What is finer than a microsecond is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub PoolTime);

impl ToSql for Stamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_i64(self.0.0.div_euclid(1_000) - EPOCH_MICROSECONDS);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Stamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let microseconds = i64::from_be_bytes(raw.try_into()?).saturating_add(EPOCH_MICROSECONDS);
        Ok(Self(PoolTime(microseconds.saturating_mul(1_000))))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_to_the_microsecond() {
        let mut bytes = BytesMut::new();
        let moment = PoolTime(1_700_000_000_123_456_789);
        Stamp(moment).to_sql(&Type::TIMESTAMPTZ, &mut bytes).expect("fits");
        let back = Stamp::from_sql(&Type::TIMESTAMPTZ, &bytes).expect("reads");
        assert_eq!(back.0, PoolTime(1_700_000_000_123_456_000));
    }
}
