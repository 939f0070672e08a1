#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    innkeep_fuzz::json_rpc(data);
});
