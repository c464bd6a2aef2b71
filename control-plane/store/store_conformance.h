/// What every implementation of Store must do, as typed-parameter tests: instantiate
/// MILLRACE_STORE_CONFORMANCE with a factory. Not for: what is special to one implementation.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "control-plane/store/store.h"

namespace millrace::store {

/// One place where a store lives; Open may be called again after the store that it gave is gone, and finds
/// what was committed.
class StoreHome {
 public:
    virtual ~StoreHome() = default;
    virtual std::unique_ptr<Store> Open() = 0;
};

struct StoreKind final {
    std::string name;
    std::function<std::unique_ptr<StoreHome>()> make_home;
};

/// Instantiated with INSTANTIATE_TEST_SUITE_P.
class StoreConformance : public testing::TestWithParam<StoreKind> {
 protected:
    void SetUp() override {
        home_ = GetParam().make_home();
        store_ = home_->Open();
    }
    void Reopen() {
        store_.reset();
        store_ = home_->Open();
    }

    std::unique_ptr<StoreHome> home_;
    std::unique_ptr<Store> store_;
};

}  // namespace millrace::store
