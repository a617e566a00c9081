//! Which images the operator may run.

/// Patterns of images; none means any image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedImages(Vec<String>);

impl AllowedImages {
    /// The non-empty patterns. An empty variable contains none.
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        let patterns = patterns.iter().map(|pattern| pattern.trim());
        let patterns = patterns.filter(|pattern| !pattern.is_empty());
        Self(patterns.map(str::to_owned).collect())
    }

    /// Whether `image`, as it is written, may run.
    ///
    /// Neither a registry nor a tag is added before the comparison. If a name has no registry, the container runtime of
    /// each node chooses one.
    #[must_use]
    pub fn allow(&self, image: &str) -> bool {
        let matches_image = |pattern: &String| {
            // If an image has a tag and a digest, the digest decides which image runs, so a pattern with a tag must not
            // allow it.
            let hides_its_tag = image.contains('@') && has_tag(pattern) && !pattern.contains('@');
            !hides_its_tag && matches(pattern.as_bytes(), image.as_bytes())
        };
        self.0.is_empty() || self.0.iter().any(matches_image)
    }
}

impl std::fmt::Display for AllowedImages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

/// Whether a pattern has a tag: a colon after the last slash, unlike the colon before a registry's port.
fn has_tag(pattern: &str) -> bool {
    let last = pattern.rsplit_once('/').map_or(pattern, |(_, last)| last);
    last.contains(':')
}

/// Whether the whole string matches: `*` stands for any characters except `/`, `**` for any characters.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // `reached[n]`: the pattern so far matches the first `n` bytes.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut pattern = pattern.iter().peekable();
    while let Some(&symbol) = pattern.next() {
        if symbol == b'*' {
            let crosses = pattern.next_if_eq(&&b'*').is_some();
            for (end, &byte) in text.iter().enumerate() {
                reached[end + 1] |= reached[end] && (crosses || byte != b'/');
            }
        } else {
            for (end, &byte) in text.iter().enumerate().rev() {
                reached[end + 1] = reached[end] && byte == symbol;
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::AllowedImages;

    fn allowed(patterns: &[&str]) -> AllowedImages {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.into()).collect();
        AllowedImages::new(&patterns)
    }

    #[test]
    fn without_patterns_every_image_is_allowed() {
        for none in [&[][..], &[""], &[" ", ""]] {
            assert!(allowed(none).allow("anything/at:all"));
        }
    }

    #[test]
    fn an_image_must_match_a_pattern_from_its_first_to_its_last_character() {
        let allowed = allowed(&[
            "registry.example.com/reckon/*",
            "redis:7.2.*",
            "quay.io/**@sha256:*",
            "registry.example.com:5000/reckon/*",
        ]);
        for image in [
            "registry.example.com/reckon/reckon-api:1.0.0",
            "registry.example.com/reckon/reckon-api@sha256:0123",
            "redis:7.2.16",
            "quay.io/team/a/b@sha256:0123",
            "registry.example.com:5000/reckon/reckon-api@sha256:0123",
        ] {
            assert!(allowed.allow(image), "{image}");
        }
        for image in [
            "registry.example.com/reckon/deeper/reckon-api:1.0.0",
            "registry.example.com/reckon",
            "registry.example.com.attacker.example/reckon/reckon-api:1.0.0",
            "attacker.example/registry.example.com/reckon/reckon-api:1.0.0",
            "docker.io/library/redis:7.2.16",
            "attacker/redis:7.2.16",
            "redis:7.2.16/attacker",
            "redis:7x2.16",
            "redis:7.2.16@sha256:0123",
            "quay.io/team/a:1",
            "",
        ] {
            assert!(!allowed.allow(image), "{image}");
        }
    }

    #[test]
    fn many_stars_take_no_more_time_than_their_number() {
        let allowed = allowed(&[&"**a".repeat(200)]);
        assert!(!allowed.allow(&"a".repeat(199)));
        assert!(allowed.allow(&"a".repeat(512)));
    }
}
