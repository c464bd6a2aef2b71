/// Comes before everything else in builds for ThreadSanitizer. protobuf's messages have more members where the compiler says
/// that it builds for one, and those of the library as it is installed, which was not, lie elsewhere. The standard library
/// keeps its own knowledge of it, which avoids false reports. Not for: our own code, which does not ask.
#pragma once

#include <cstddef>

#undef __SANITIZE_THREAD__
