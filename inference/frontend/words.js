// What the page says, by the kind of its product: an estimate, or whether a record is unusual.
// Add here a text that isn't about one field or one answer.

export const WORDS = {
  estimate: {
    lead: "An estimate in a moment, with the range it is likely to fall in.",
    ask: "What should be estimated?",
    answer: "Your estimate",
    empty: "Fill in the form, and the estimate appears here, with the range that the true value is likely to fall in.",
    more: "More details sharpen the estimate",
    act: "Estimate",
    acting: "Estimating …",
    judge: "How good is this estimate?",
  },
  anomaly: {
    lead: "See in a moment whether a record is unusual, and why.",
    ask: "What happened?",
    answer: "Is it unusual?",
    empty: "Fill in the form, and the answer appears here, with what is unusual about it.",
    more: "More details sharpen the answer",
    act: "Check",
    acting: "Checking …",
    judge: "How good is this answer?",
  },
};
