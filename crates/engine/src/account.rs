//! One budget's bucket: what is spent and held, and whether a call fits (data-plane 15).
