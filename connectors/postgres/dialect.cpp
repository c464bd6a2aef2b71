#include "connectors/postgres/dialect.h"

#include "base/text.h"
#include "connectors/postgres/type_name.h"

namespace millrace::postgres {

sql::TypeFit PostgresDialect::CompareTypes(const std::string& existing, const std::string& wanted) const {
    return Fit(TypeName::Parse(existing), TypeName::Parse(wanted));
}

std::string PostgresDialect::UnderlyingType(const sdk::Column& column) const {
    return column.declared_type.empty() ? "" : column.source_type;
}

std::string PostgresDialect::TextIndex(std::string_view name, std::string_view table,
                                       std::string_view column) const {
    // A tree takes no text beyond 2.7 kB.
    return base::Concat("CREATE INDEX IF NOT EXISTS ", QuoteIdentifier(name), " ON ", table, " USING hash (",
                        column, ")");
}

std::string PostgresDialect::EndStalledHolders(std::string_view table, std::string_view where) const {
    // A row's xmax is the transaction that is changing it.
    return base::Concat("SELECT pg_catalog.pg_terminate_backend(a.pid) FROM ", table,
                        " c JOIN pg_catalog.pg_stat_activity a ON a.backend_xid = c.xmax", where,
                        " AND a.wait_event = 'ClientRead' AND a.usename = current_user");
}

std::string PostgresDialect::DdlLock() const {
    // IF NOT EXISTS does not keep two sessions that create the same object from colliding. The number is
    // "millrace" in ASCII: one lock for the DDL of all pipelines in a database.
    return "SELECT pg_advisory_xact_lock(7883951835720016741)";
}

}  // namespace millrace::postgres
