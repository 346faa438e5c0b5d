//! The words for labels, logs and routes, which others' dashboards and scripts keep.

use mainstay_breaker::{Mode, Rule, State};

#[test]
fn states_modes_and_rules_have_their_words() {
    let states = [State::Closed, State::Open, State::HalfOpen];
    assert_eq!(
        states.map(|state| (state.gauge(), state.to_string())),
        [(0, "closed"), (1, "open"), (2, "half_open")]
            .map(|(gauge, word)| (gauge, word.to_owned()))
    );
    assert_eq!(
        Mode::ALL.map(|mode| mode.to_string()),
        ["auto", "forced_open", "disabled", "shadow"]
    );
    assert_eq!(
        Rule::ALL.map(|rule| rule.to_string()),
        ["consecutive", "rate", "slow", "probes", "operator"]
    );
}

#[test]
fn a_mode_is_read_from_its_word_and_from_no_other() {
    for mode in Mode::ALL {
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    let error = "open".parse::<Mode>().expect_err("no such mode");
    assert_eq!(
        error.to_string(),
        "not a breaker mode: use auto, forced_open, disabled or shadow"
    );
}
