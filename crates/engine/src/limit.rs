//! The limiter: requests and tokens against ceilings (data-plane 10).
