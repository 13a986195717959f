//! Tests of the throttles. Time is simulated: no test sleeps.

mod limits;
mod politeness;
mod rate;
mod signals;
mod window;
