/// Envelopes of the form that Seal gives them. Not for: telling whether one was altered (seal.cpp).
#pragma once

#include <string_view>

#include "base/seal_key.h"

namespace millrace::base::seal_internal {

/// `der` is one CMS AuthEnvelopedData (RFC 5083) in definite lengths, with nothing behind it: one recipient by RSA-OAEP or by
/// ECDH over a SHA-256 KDF with AES-256 key wrap, a content under AES-256-GCM with a nonce of 12 bytes and a tag of 16
/// (RFC 5084), and no attributes. CMS leaves all of these to whoever made the message: shorter tags and ciphers without
/// authentication could be forged, and code for algorithms that nobody here uses has been where memory was damaged
/// (CVE-2026-63072 in key unwrapping with padding, CVE-2025-15467 in long nonces).
bool HasSealForm(std::string_view der);

/// Of a PEM block without headers. nullptr when it is none that Seal could have made: OpenSSL would follow it wherever it
/// leads.
Cms ReadEnvelope(std::string_view pem);

}  // namespace millrace::base::seal_internal
