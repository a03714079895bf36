//! Times that others have written, for `#[serde(deserialize_with)]`.
//!
//! The API server takes more for a time than can be counted (`9999-12-31T23:59:59Z`, any text after a `Z`), and one object
//! that cannot be read would keep its whole kind from ever being listed. So what is no time is none.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::{Deserialize, Deserializer};

/// A time, if it is one.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).map(Time))
}

/// Conditions; one whose time is none has not changed since the epoch.
pub(super) fn conditions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Any {
        #[serde(rename = "type")]
        type_: String,
        status: String,
        reason: String,
        message: String,
        #[serde(deserialize_with = "time")]
        last_transition_time: Option<Time>,
        observed_generation: Option<i64>,
    }
    let conditions = Option::<Vec<Any>>::deserialize(deserializer)?.unwrap_or_default();
    let condition = |any: Any| Condition {
        type_: any.type_,
        status: any.status,
        reason: any.reason,
        message: any.message,
        last_transition_time: any.last_transition_time.unwrap_or(Time(jiff::Timestamp::UNIX_EPOCH)),
        observed_generation: any.observed_generation,
    };
    Ok(conditions.into_iter().map(condition).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::api::{IPClaimStatus, IPPoolStatus};

    /// The API server stores all of these.
    const NO_TIMES: [&str; 3] =
        ["9999-12-31T23:59:59Z", "2024-01-01T00:00:00+99:99", "2024-01-01T00:00:00Ztrubbish"];

    fn condition(time: &str) -> Value {
        json!({
            "type": "Ready", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": time, "observedGeneration": 3,
        })
    }

    #[test]
    fn a_status_is_read_whatever_stands_for_a_time() {
        for time in NO_TIMES {
            let pool =
                json!({"indexes": {"c": "10.0.0.1"}, "lastUpdated": time, "conditions": [condition(time)]});
            let pool: IPPoolStatus = serde_json::from_value(pool).unwrap();
            assert_eq!((pool.last_updated, pool.indexes["c"].as_str()), (None, "10.0.0.1"), "{time}");
            let claim = json!({"address": {"name": "p-10-0-0-1"}, "conditions": [condition(time)]});
            let claim: IPClaimStatus = serde_json::from_value(claim).unwrap();
            assert_eq!(json!(pool.conditions), json!([condition("1970-01-01T00:00:00Z")]), "{time}");
            assert_eq!(json!(claim.conditions), json!(pool.conditions));
        }
    }

    #[test]
    fn a_time_is_read_as_it_stands() {
        let time = "2024-05-06T07:08:09Z";
        let status = json!({"lastUpdated": time, "conditions": [condition(time)]});
        let pool: IPPoolStatus = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(json!(pool), status);
    }
}
