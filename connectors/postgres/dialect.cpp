#include "connectors/postgres/dialect.h"

#include "connectors/postgres/type_name.h"

namespace millrace::postgres {

sql::TypeFit PostgresDialect::CompareTypes(const std::string& existing, const std::string& wanted) const {
    return Fit(TypeName::Parse(existing), TypeName::Parse(wanted));
}

std::string PostgresDialect::DdlLock() const {
    // IF NOT EXISTS does not keep two sessions that create the same object from colliding. The number is
    // "millrace" in ASCII: one lock for the DDL of all pipelines in a database.
    return "SELECT pg_advisory_xact_lock(7883951835720016741)";
}

}  // namespace millrace::postgres
