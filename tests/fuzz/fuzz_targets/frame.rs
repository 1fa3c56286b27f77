//! cargo-fuzz's program for `kabar_tests::fuzz::frame`: only calls it. What must hold stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _kind = kabar_tests::fuzz::frame(data);
});
