//! Explicit Congestion Notification, RFC 3168, with the ECN Report chunk of rtmfp-cpp.

use crate::path::Ecn;

/// Reports that lag behind by this many marks are late ones, not wrapped counts.
const REORDERED: u8 = 0xe0;

/// What is known of the path and the far end's use of our marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Data is marked; nobody has reported yet.
    Trying { has_marked: bool },
    /// The far end reports.
    Reported { count: u8 },
    /// The far end acknowledges marked data without a report, or marks are not wanted.
    Off,
}

/// One session's marks, both ways.
#[derive(Debug)]
pub(crate) struct EcnState {
    sending: Sending,
    /// Packets received with Congestion Experienced.
    experienced: u8,
    owes_report: bool,
}

impl EcnState {
    pub fn new(is_wanted: bool) -> Self {
        let sending = if is_wanted { Sending::Trying { has_marked: false } } else { Sending::Off };
        Self { sending, experienced: 0, owes_report: false }
    }

    /// Whether packets with data are to be marked.
    pub fn marks_data(&self) -> bool {
        self.sending != Sending::Off
    }

    /// A packet with data went out, marked.
    pub fn on_marked(&mut self) {
        if let Sending::Trying { has_marked } = &mut self.sending {
            *has_marked = true;
        }
    }

    /// A verified packet came in with this mark.
    pub fn on_received(&mut self, mark: Ecn) {
        self.owes_report |= mark != Ecn::NotCapable;
        if mark == Ecn::CongestionExperienced {
            self.experienced = self.experienced.wrapping_add(1);
        }
    }

    /// The count to report with the next acknowledgement, if one is due.
    pub fn report(&self) -> Option<u8> {
        self.owes_report.then_some(self.experienced)
    }

    /// It is written.
    pub fn on_reported(&mut self) {
        self.owes_report = false;
    }

    /// Takes in the far end's count. True if congestion was experienced since the last.
    pub fn on_report(&mut self, count: u8) -> bool {
        let known = match self.sending {
            Sending::Off => return false,
            Sending::Trying { .. } => 0,
            Sending::Reported { count } => count,
        };
        let news = count.wrapping_sub(known);
        let is_news = news != 0 && news < REORDERED;
        self.sending = Sending::Reported { count: if is_news { count } else { known } };
        is_news
    }

    /// After a packet that acknowledged data: who had nothing to report so far does not see marks.
    pub fn on_acknowledged(&mut self) {
        if self.sending == (Sending::Trying { has_marked: true }) {
            self.sending = Sending::Off;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_and_reported_once() {
        let mut receiver = EcnState::new(true);
        receiver.on_received(Ecn::NotCapable);
        assert_eq!(receiver.report(), None);
        receiver.on_received(Ecn::Capable);
        assert_eq!(receiver.report(), Some(0));
        receiver.on_received(Ecn::CongestionExperienced);
        assert_eq!(receiver.report(), Some(1));
        receiver.on_reported();
        assert_eq!(receiver.report(), None);
    }

    #[test]
    fn only_new_marks_are_congestion() {
        let mut sender = EcnState::new(true);
        assert!(!sender.on_report(0) && sender.on_report(3));
        assert!(!sender.on_report(3) && !sender.on_report(2), "repeated and late");
        assert!(sender.on_report(200) && sender.on_report(4), "wrapped");
    }

    #[test]
    fn who_does_not_report_gets_no_marks() {
        let mut sender = EcnState::new(true);
        sender.on_acknowledged();
        assert!(sender.marks_data(), "nothing was marked yet");
        sender.on_marked();
        sender.on_acknowledged();
        assert!(!sender.marks_data() && !sender.on_report(5));
        assert!(!EcnState::new(false).marks_data());
    }
}
