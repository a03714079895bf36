//! Which certificates are due, and what takes their place. Nothing here writes, waits or reads the clock.

use crate::admission::pki::{self, Facts, Pair};

/// What the replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The authority that signs now.
    pub authority: Pair,
    /// Certificates of earlier authorities that still hold: what they signed may still be served somewhere.
    pub earlier: Vec<String>,
    /// What is served.
    pub serving: Pair,
}

/// What is to be done about what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// A new serving certificate by the same authority.
    Serving,
    /// A new authority beside the old one. What is served stays: clients have to learn of the authority first.
    Authority,
    /// All of it anew, as nothing of what is there can be used.
    Everything,
}

impl Stored {
    /// All of it, new.
    pub fn new(names: &[String], now: i64) -> Result<Self, pki::Error> {
        let authority = pki::authority(now)?;
        let serving = pki::serving(&authority, names, now)?;
        Ok(Self { authority, earlier: Vec::new(), serving })
    }

    /// What clients have to trust: all authorities, the one that signs now first.
    pub fn bundle(&self) -> String {
        self.authority.certificate.clone() + &self.earlier.concat()
    }
}

/// What is to be done now, where certificates for `names` are needed.
pub(super) fn due(stored: Option<&Stored>, names: &[String], now: i64) -> Due {
    let Some(stored) = stored else { return Due::Everything };
    let authority = Facts::of(&stored.authority.certificate);
    let authority = authority.filter(|facts| facts.signs && facts.fits(&stored.authority.key));
    let Some(authority) = authority.filter(|facts| !facts.is_over(now)) else { return Due::Everything };
    if authority.is_due(now) {
        return Due::Authority;
    }
    let serving = Facts::of(&stored.serving.certificate).filter(|facts| facts.fits(&stored.serving.key));
    let good = serving.is_some_and(|facts| {
        facts.names == dns_names(names) && is_signed(&facts, &authority, stored, now) && !facts.is_due(now)
    });
    if good { Due::Nothing } else { Due::Serving }
}

/// What is to be stored in place of what is.
pub(super) fn renewed(
    due: Due,
    stored: Option<&Stored>,
    names: &[String],
    now: i64,
) -> Result<Option<Stored>, pki::Error> {
    Ok(match (due, stored) {
        (Due::Nothing, _) => None,
        (Due::Everything, _) | (_, None) => Some(Stored::new(names, now)?),
        (Due::Serving, Some(old)) => {
            let serving = pki::serving(&old.authority, names, now)?;
            Some(Stored { serving, earlier: still_valid(&old.earlier, now), ..old.clone() })
        }
        (Due::Authority, Some(old)) => {
            let mut earlier = vec![old.authority.certificate.clone()];
            earlier.extend(still_valid(&old.earlier, now));
            Some(Stored { authority: pki::authority(now)?, earlier, serving: old.serving.clone() })
        }
    })
}

/// By an authority that clients trust.
fn is_signed(serving: &Facts, authority: &Facts, stored: &Stored, now: i64) -> bool {
    let earlier = stored.earlier.iter().filter_map(|pem| Facts::of(pem)).filter(|facts| !facts.is_over(now));
    serving.issuer == authority.subject || earlier.into_iter().any(|facts| facts.subject == serving.issuer)
}

fn still_valid(authorities: &[String], now: i64) -> Vec<String> {
    let valid = |pem: &&String| Facts::of(pem).is_some_and(|facts| !facts.is_over(now));
    authorities.iter().filter(valid).cloned().collect()
}

/// As a certificate's facts have them: without addresses, and sorted.
fn dns_names(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        names.iter().filter(|name| name.parse::<std::net::IpAddr>().is_err()).cloned().collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 60 * 60;

    fn names() -> Vec<String> {
        ["s.ns.svc", "s.ns", "127.0.0.1"].map(str::to_owned).to_vec()
    }

    /// What is stored after a look at each of these days.
    fn after(days: impl IntoIterator<Item = i64>) -> (Stored, Vec<(i64, Due)>) {
        let mut stored = Stored::new(&names(), NOW).unwrap();
        let mut done = Vec::new();
        for day in days {
            let now = NOW + day * DAY;
            let due = due(Some(&stored), &names(), now);
            if let Some(new) = renewed(due, Some(&stored), &names(), now).unwrap() {
                done.push((day, due));
                stored = new;
            }
        }
        (stored, done)
    }

    #[test]
    fn nothing_is_due_at_first_and_all_where_there_is_nothing() {
        assert_eq!(due(None, &names(), NOW), Due::Everything);
        assert_eq!(due(Some(&Stored::new(&names(), NOW).unwrap()), &names(), NOW), Due::Nothing);
    }

    #[test]
    fn a_serving_certificate_is_renewed_when_a_third_of_its_life_is_left_by_the_same_authority() {
        let (stored, done) = after([30, 59, 61, 62, 120, 122]);
        assert_eq!(done, [(61, Due::Serving), (122, Due::Serving)]);
        assert_eq!(stored.bundle(), stored.authority.certificate);
    }

    #[test]
    fn authorities_overlap_until_the_earlier_one_ends() {
        let third = 3650 * 2 / 3 + 1;
        let (stored, done) = after([third - 30, third, third]);
        assert_eq!(done, [(third - 30, Due::Serving), (third, Due::Authority)]);
        // What is served is still of the earlier one, and clients trust both before that changes.
        let subject = |pem: &str| Facts::of(pem).unwrap().subject;
        let issuer = |stored: &Stored| Facts::of(&stored.serving.certificate).unwrap().issuer;
        assert_eq!(issuer(&stored), subject(&stored.earlier[0]));
        assert_eq!(pki::certificates(&stored.bundle()).len(), 2);
        let (stored, _) = after([third - 30, third, third + 31]);
        assert_eq!(issuer(&stored), subject(&stored.authority.certificate));
        assert_eq!(stored.earlier.len(), 1);
        let (stored, _) = after([third - 30, third, third + 31, 3700]);
        assert_eq!(stored.earlier, [""; 0]);
    }

    #[test]
    fn after_a_long_sleep_everything_is_new() {
        let (stored, done) = after([4000]);
        assert_eq!(done, [(4000, Due::Everything)]);
        assert_eq!(stored.earlier, [""; 0]);
        let (_, done) = after([91]);
        assert_eq!(done, [(91, Due::Serving)]);
    }

    #[test]
    fn what_was_tampered_with_is_replaced() {
        let good = Stored::new(&names(), NOW).unwrap();
        let other = Stored::new(&names(), NOW + 1).unwrap();
        let verdict = |stored: Stored| due(Some(&stored), &names(), NOW + 2);
        let broken = |certificate: &str, key: &str| Pair { certificate: certificate.into(), key: key.into() };
        assert_eq!(verdict(Stored { authority: broken("x", "x"), ..good.clone() }), Due::Everything);
        let foreign_key = broken(&good.authority.certificate, &other.authority.key);
        assert_eq!(verdict(Stored { authority: foreign_key, ..good.clone() }), Due::Everything);
        assert_eq!(verdict(Stored { authority: good.serving.clone(), ..good.clone() }), Due::Everything);
        assert_eq!(verdict(Stored { serving: broken("x", "x"), ..good.clone() }), Due::Serving);
        let foreign_key = broken(&good.serving.certificate, &other.serving.key);
        assert_eq!(verdict(Stored { serving: foreign_key, ..good.clone() }), Due::Serving);
        assert_eq!(verdict(Stored { serving: other.serving.clone(), ..good.clone() }), Due::Serving);
        assert_eq!(verdict(good), Due::Nothing);
    }

    #[test]
    fn another_name_of_the_service_needs_another_certificate() {
        let stored = Stored::new(&names(), NOW).unwrap();
        assert_eq!(due(Some(&stored), &["other.ns.svc".to_owned()], NOW), Due::Serving);
    }
}
