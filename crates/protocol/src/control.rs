//! Control-plane request and response bodies. Source: contract, Appendix A.2.
