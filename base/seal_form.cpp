#include "base/seal_form.h"

#include <openssl/asn1.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include <cstddef>
#include <memory>
#include <optional>

namespace millrace::base::seal_internal {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr int kUniversal = V_ASN1_UNIVERSAL;
constexpr int kContext = V_ASN1_CONTEXT_SPECIFIC;

/// The elements of one constructed value, one after the other. After the first that is not as asked for, nothing is.
class Elements final {
 public:
    explicit Elements(std::string_view bytes) : rest_(bytes) {}

    /// The contents of the next element, if it has this class and tag.
    std::optional<std::string_view> Take(int tag, int of_class = kUniversal) {
        const auto* const begin = reinterpret_cast<const unsigned char*>(rest_.data());
        const unsigned char* at = begin;
        long length = 0;
        int found_tag = 0;
        int found_class = 0;
        // 0x80: malformed; 1: of indefinite length. Of nothing it would leave an error in OpenSSL's queue.
        const int kind = good_ && !rest_.empty()
                             ? ::ASN1_get_object(&at, &length, &found_tag, &found_class, static_cast<long>(rest_.size()))
                             : 0x80;
        good_ = (kind & 0x81) == 0 && found_tag == tag && found_class == of_class;
        if (!good_) {
            return std::nullopt;
        }
        const auto header = static_cast<size_t>(at - begin);
        const std::string_view contents = rest_.substr(header, static_cast<size_t>(length));
        rest_.remove_prefix(header + contents.size());
        return contents;
    }
    Elements Inside(int tag, int of_class = kUniversal) {
        const auto contents = Take(tag, of_class);
        return contents ? Elements(*contents) : Broken();
    }
    /// Whether the next one is this number.
    bool TakeNumber(unsigned char number) {
        return Take(V_ASN1_INTEGER) == std::string_view(reinterpret_cast<const char*>(&number), 1);
    }
    bool TakeObject(int nid) {
        const ASN1_OBJECT* const object = ::OBJ_nid2obj(nid);
        return object != nullptr &&
               Take(V_ASN1_OBJECT) == std::string_view(reinterpret_cast<const char*>(::OBJ_get0_data(object)), ::OBJ_length(object));
    }
    /// Takes the next one if it has this class and tag, else nothing.
    void Skip(int tag, int of_class) {
        Elements ahead = *this;
        if (ahead.Take(tag, of_class)) {
            *this = ahead;
        }
    }
    [[nodiscard]] bool AtEnd() const { return good_ && rest_.empty(); }

 private:
    static Elements Broken() {
        Elements broken{std::string_view()};
        broken.good_ = false;
        return broken;
    }

    std::string_view rest_;
    bool good_ = true;
};

// KeyTransRecipientInfo.
bool IsByRsa(Elements recipient) {
    Elements info = recipient.Inside(V_ASN1_SEQUENCE);
    if (!info.TakeNumber(2) || !info.Take(0, kContext)) {  // by subject key identifier
        return false;
    }
    Elements algorithm = info.Inside(V_ASN1_SEQUENCE);
    return algorithm.TakeObject(NID_rsaesOaep) && algorithm.Take(V_ASN1_SEQUENCE) && algorithm.AtEnd() &&
           info.Take(V_ASN1_OCTET_STRING) && info.AtEnd() && recipient.AtEnd();
}

// KeyAgreeRecipientInfo.
bool IsByEcdh(Elements recipient) {
    Elements info = recipient.Inside(1, kContext);
    if (!info.TakeNumber(3) || !info.Take(0, kContext)) {
        return false;
    }
    info.Skip(1, kContext);  // user keying material
    Elements algorithm = info.Inside(V_ASN1_SEQUENCE);
    if (!algorithm.TakeObject(NID_dhSinglePass_stdDH_sha256kdf_scheme)) {
        return false;
    }
    Elements wrap = algorithm.Inside(V_ASN1_SEQUENCE);
    if (!wrap.TakeObject(NID_id_aes256_wrap) || !algorithm.AtEnd()) {
        return false;
    }
    wrap.Skip(V_ASN1_NULL, kUniversal);
    Elements keys = info.Inside(V_ASN1_SEQUENCE);
    return wrap.AtEnd() && keys.Take(V_ASN1_SEQUENCE) && keys.AtEnd() && info.AtEnd() && recipient.AtEnd();
}

// EncryptedContentInfo.
bool IsAesGcm(Elements content) {
    if (!content.TakeObject(NID_pkcs7_data)) {
        return false;
    }
    Elements algorithm = content.Inside(V_ASN1_SEQUENCE);
    if (!algorithm.TakeObject(NID_aes_256_gcm)) {
        return false;
    }
    Elements parameters = algorithm.Inside(V_ASN1_SEQUENCE);
    const auto nonce = parameters.Take(V_ASN1_OCTET_STRING);
    return nonce && nonce->size() == kNonceBytes && parameters.TakeNumber(kTagBytes) && parameters.AtEnd() &&
           algorithm.AtEnd() && content.Take(0, kContext) && content.AtEnd();
}

// A macro at OpenSSL.
void FreeMemory(void* memory) {
    ::OPENSSL_free(memory);
}

template <typename T>
using Memory = std::unique_ptr<T, Freed<FreeMemory>>;

}  // namespace

bool HasSealForm(std::string_view der) {
    Elements outside(der);
    Elements message = outside.Inside(V_ASN1_SEQUENCE);
    if (!message.TakeObject(NID_id_smime_ct_authEnvelopedData) || !outside.AtEnd()) {
        return false;
    }
    Elements tagged = message.Inside(0, kContext);
    Elements envelope = tagged.Inside(V_ASN1_SEQUENCE);
    if (!message.AtEnd() || !tagged.AtEnd() || !envelope.TakeNumber(0)) {
        return false;
    }
    const Elements recipients = envelope.Inside(V_ASN1_SET);
    const Elements content = envelope.Inside(V_ASN1_SEQUENCE);
    const auto tag = envelope.Take(V_ASN1_OCTET_STRING);
    return tag && tag->size() == kTagBytes && envelope.AtEnd() && (IsByRsa(recipients) || IsByEcdh(recipients)) &&
           IsAesGcm(content);
}

Cms ReadEnvelope(std::string_view pem) {
    const Bio input = ReadBio(pem);
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* der = nullptr;
    long size = 0;
    if (::PEM_read_bio(input.get(), &name, &header, &der, &size) != 1) {
        return nullptr;
    }
    const Memory<char> owned_name(name);
    const Memory<char> owned_header(header);
    const Memory<unsigned char> owned_der(der);
    const std::string_view bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    // A header asks for a pass phrase.
    if (std::string_view(name) != PEM_STRING_CMS || *header != '\0' || !HasSealForm(bytes)) {
        return nullptr;
    }
    const unsigned char* at = der;
    return Cms(::d2i_CMS_ContentInfo(nullptr, &at, size));
}

}  // namespace millrace::base::seal_internal
