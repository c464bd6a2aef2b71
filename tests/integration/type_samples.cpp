#include "tests/integration/type_samples.h"

namespace millrace::integration {

const char* const kTypeDefinitions =
    "CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'sehr gl\xc3\xbc"
    "cklich');"
    " CREATE TYPE public.pair AS (a integer, b text);"
    " CREATE DOMAIN public.email AS text CHECK (VALUE LIKE '%@%');"
    " CREATE DOMAIN public.price AS numeric(12,2) CHECK (VALUE >= 0);"
    " CREATE TYPE public.floatrange AS RANGE (subtype = double precision);"
    " CREATE TYPE public.nested AS (p public.pair, list text[], m public.mood);"
    " CREATE DOMAIN public.tags AS text[]; CREATE DOMAIN public.work_email AS public.email CHECK (length(VALUE) < 99);"
    " CREATE DOMAIN public.present AS integer NOT NULL DEFAULT 0;"
    " CREATE EXTENSION ltree SCHEMA public; CREATE EXTENSION cube SCHEMA public; CREATE EXTENSION isn SCHEMA public;"
    " CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION citext SCHEMA public;";

const char* const kTypesIntroduction = R"(# Types

This page is printed by `tests/integration/types_pgtest.cpp`, which sends every value below from a PostgreSQL through its
first copy and its replication stream into a PostgreSQL and a DuckDB file, alone, in an array of two dimensions with bounds of its
own, and as NULL; it fails when this page is out of date, and when PostgreSQL has a type that is not in it.

**PostgreSQL → PostgreSQL**: the same type and the same value, arrays of any dimension included.

- Enums, domains, composite types, ranges and types of extensions are the same where the destination has a type of that
  name (a type of an extension also in another schema). A missing enum is made there, with the source's labels. Of any other
  the column is `text` (`text[]` for an array), and of a domain the type behind it: make it before the pipeline starts.
- A domain that is NOT NULL, also through another domain, is replaced by the type behind it: a cell that the destination
  cannot hold must be able to be NULL. The row type of a table becomes `text`.
- `money` carries the number that is stored; Kafka and DuckDB have it as PostgreSQL writes it under `lc_monetary = 'C'`.
- `regclass`, `regproc` and their kin carry names: a value is a dead letter where the destination has no object of that name.
- `aclitem` and the planner's own types become `text`.

**PostgreSQL → DuckDB**: exact where DuckDB has the type; the source's text in a VARCHAR otherwise. (An offset of seconds in a
TIME WITH TIME ZONE is kept, but DuckDB writes `-00:00:01` as `-00:01`; `extract('timezone' FROM v)` tells them apart.)

**What a destination cannot hold** never stops a table and is never altered (`refused_values`, see
[delivery-guarantees.md](delivery-guarantees.md)): with `dead-letter` the row is written with that cell NULL and the value is
kept in `_millrace.dead_letters`; with `text` the column is changed to text, and what DuckDB has stored by then becomes
DuckDB's own text (second table); with `hold` the table waits.

)";

const char* const kValuesIntroduction = R"(
## Values

In PostgreSQL all of these are the same at the destination.

)";

const std::vector<TypeSample>& TypeSamples() {
    static const std::vector<TypeSample> kSamples = {
        {"boolean", {"t", "f"}},
        {"smallint", {"-32768", "32767"}},
        {"integer", {"-2147483648", "2147483647"}},
        {"bigint", {"-9223372036854775808", "9223372036854775807"}},
        {"real", {"NaN", "-Infinity", "3.4028235e+38", "1e-45", "0.1", "-0"}},
        {"double precision",
         {"NaN", "Infinity", "-Infinity", "1.7976931348623157e+308", "5e-324", "0.1", "-0"}},
        {"numeric",
         {"NaN", "Infinity", "-Infinity", "0.000", "1" + std::string(200, '0') + ".5",
          "-0.00000000000000000001", std::string(999, '9') + "." + std::string(1000, '7')}},
        {"numeric(10,2)", {"99999999.99", "-99999999.99", "0", "NaN"}},
        {"numeric(38,10)", {"9999999999999999999999999999.9999999999"}},
        {"numeric(38,0)", {std::string(38, '9'), "-" + std::string(38, '9')}},
        {"numeric(38,38)", {"0." + std::string(38, '9')}},
        {"numeric(39,0)", {std::string(39, '9')}},
        {"numeric(3,5)", {"0.00999"}},
        {"numeric(1000,500)", {"1" + std::string(499, '2')}},
        {"numeric(5,-2)", {"1234567"}},
        {"money", {"-92233720368547758.08", "0.01"}},
        {"text", {"", "a\tb\nc\\\"'", "\xc3\xbc\xe2\x82\xac\xf0\x9f\xa6\x86", "NULL", "\\N"}},
        {"character varying(5)",
         {"", "abc  ", "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"}},
        {"character(5)", {"abc", ""}},
        {"bpchar", {"abc  ", ""}},
        {"\"char\"", {"x", ""}},
        {"name", {"a name"}},
        {"public.citext", {"MiXeD"}},
        {"bytea", {"", "\\x00ff5c0a27"}},
        {"bit(3)", {"101"}},
        {"bit varying(70)", {"", "1" + std::string(69, '0')}},
        {"date", {"0001-01-01", "4713-01-01 BC", "5874897-12-31", "infinity", "-infinity"}},
        {"time", {"00:00:00", "24:00:00", "12:34:56.789012"}},
        {"time(2)", {"12:34:56.78"}},
        {"time with time zone",
         {"12:34:56.789012+05:30", "24:00:00-15:59:59", "00:00:00+15:59", "00:00:00+15:59:59", "12:00:00-00:00:01"}},
        {"timestamp",
         {"infinity", "-infinity", "294276-12-31 23:59:59.999999", "294247-01-10 04:00:54.775806",
          "294247-01-10 04:00:54.775807", "4713-01-01 00:00:00 BC", "0001-12-31 23:59:59.999999 BC",
          "2024-02-29 23:59:59.999999"}},
        {"timestamp with time zone",
         {"infinity", "-infinity", "294276-12-31 23:59:59.999999+00", "0044-03-15 12:00:00+00 BC",
          "2024-02-29 23:59:59.999999+05:30"}},
        {"timestamp(3) with time zone", {"2024-02-29 23:59:59.999+00"}},
        {"interval",
         {"1 year 2 mons -3 days -04:05:06.000007", "0", "178000000 years", "2562047788:00:54.775807",
          "-178000000 years -2147483648 days", "2147483647 days", "-1 year -2 mons +3 days -04:05:06", "1 mon -1 day +00:00:00.000001",
          "1000000:00:00"}},
        {"interval day to second(3)", {"3 days 04:05:06.789"}},
        {"uuid", {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"}},
        {"json", {"{\"a\" :  1, \"a\": 2}", "null", "\"\\ud800\"", "{\"n\": 1e400}",
                  " [1.0,  1.00, -0, 123456789012345678901234567890]\n"}},
        {"jsonb",
         {"{}", "null", "{\"a\": 123456789012345678901234567890.123456789}", "[\"\xc3\xbc\\n\\\"\"]"}},
        {"jsonpath", {"$.\"a\"[*]?(@ > 1)"}},
        {"xml", {"<a b=\"c\">d</a>", "some <b>content</b>", "<?xml version=\"1.0\"?><a/>", ""}},
        {"public.hstore", {"a=>1, b=>NULL, \"c d\"=>\"\"", ""}},
        {"public.ltree", {"Top.Science.Astronomy", ""}},
        {"public.lquery", {"Top.*{1,2}.!sport|science@"}},
        {"public.cube", {"(1, 2),(3, 4.5)"}},
        {"public.isbn13", {"978-0-393-04002-9"}},
        {"inet", {"10.0.0.1/8", "::1", "192.168.0.1"}},
        {"cidr", {"10.0.0.0/8", "2001:db8::/32"}},
        {"macaddr", {"08:00:2b:01:02:03"}},
        {"macaddr8", {"08:00:2b:01:02:03:04:05"}},
        {"point", {"(1.5,-2)", "(Infinity,NaN)"}},
        {"line", {"{1,-1,0}"}},
        {"lseg", {"[(1,2),(3,4)]"}},
        {"box", {"(3,4),(1,2)"}},
        {"path", {"((1,2),(3,4))", "[(1,2),(3,4)]"}},
        {"polygon", {"((0,0),(1,1),(2,0))"}},
        {"circle", {"<(1,2),3>"}},
        {"tsvector", {"'a':1A 'b c':2,3B", ""}},
        {"tsquery", {"'a' & !'b' <-> 'c':*AB"}},
        {"int4range", {"[1,10)", "empty", "(,)"}},
        {"int8range", {"[-9223372036854775808,9223372036854775807)"}},
        {"numrange", {"(0.1,Infinity]"}},
        {"daterange", {"[2024-01-01,infinity)"}},
        {"tsrange", {"[\"2024-01-01 00:00:00\",)"}},
        {"tstzrange", {"(,\"0044-03-15 12:00:00+00 BC\")"}},
        {"public.floatrange", {"[1.5,2.5]"}},
        {"int4multirange", {"{[1,3),[5,8)}", "{}"}},
        {"int8multirange", {"{[1,3),[5,9223372036854775807)}"}},
        {"nummultirange", {"{[0.10,0.2],(1,Infinity]}", "{(,)}"}},
        {"datemultirange", {"{[2024-01-01,2024-01-02),[infinity,)}"}},
        {"tsmultirange", {"{[\"2024-01-01 00:00:00\",\"2024-01-02 00:00:00\"]}"}},
        {"public.floatmultirange", {"{[1.5,2.5],(3,4)}"}},
        {"tstzmultirange", {"{[\"2024-01-01 00:00:00+00\",\"2024-01-02 00:00:00+00\")}"}},
        {"oid", {"0", "4294967295"}},
        {"tid", {"(0,1)"}},
        {"xid", {"4294967295"}},
        {"xid8", {"18446744073709551615"}},
        {"cid", {"7"}},
        {"pg_lsn", {"16/B374D848", "FFFFFFFF/FFFFFFFF"}},
        {"pg_snapshot", {"10:20:10,14,15"}},
        {"txid_snapshot", {"10:20:10,14,15"}},
        {"regclass", {"pg_catalog.pg_class", "-"}},
        {"regtype", {"timestamp with time zone", "public.mood"}},
        {"regcollation", {"\"C\""}},
        {"regdictionary", {"simple"}},
        {"regrole", {"-", "pg_monitor"}},
        {"regoper", {"pg_catalog.||/"}},
        {"regproc", {"now"}},
        {"regprocedure", {"lower(text)"}},
        {"regoperator", {"+(integer,integer)"}},
        {"regnamespace", {"pg_catalog"}},
        {"regconfig", {"english"}},
        {"refcursor", {"a cursor"}},
        {"int2vector", {"1 2 3", ""}},
        {"oidvector", {"1 4294967295", ""}},
        {"aclitem", {"pg_monitor=r/pg_read_all_data"}, "text"},
        {"gtsvector", {}, "text"},
        {"pg_brin_bloom_summary", {}, "text"},
        {"pg_brin_minmax_multi_summary", {}, "text"},
        {"pg_dependencies", {}, "text"},
        {"pg_mcv_list", {}, "text"},
        {"pg_ndistinct", {}, "text"},
        {"pg_node_tree", {}, "text"},
        {"information_schema.cardinal_number", {"7"}},
        {"pg_catalog.pg_authid", {}, "text"},
        {"public.mood",
         {"sad",
          "sehr gl\xc3\xbc"
          "cklich"}},
        {"public.pair", {"(1,\"a \"\"b\"\" c\")", "(,)"}},
        {"public.email", {"a@b"}},
        {"public.work_email", {"a@b"}},
        {"public.tags", {"{a,\"b,c\",NULL}"}},
        {"public.present", {"7"}, "integer"},
        {"public.nested", {"(\"(1,\"\"a \"\"\"\"b\"\"\"\" \\\\\\\\ c\"\")\",\"{\"\"x,y\"\",NULL,\"\"\\\\\"\"q\"\"}\",\"sehr gl\xc3\xbc"
                           "cklich\")",
                           "(,,)"}},
        {"public.price", {"9999999999.99"}},
        {"integer[]", {"{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={1,2}", "{{{1},{2}},{{3},{4}}}"}},
        {"text[]", {"{\"a,b\",\"c\\\"d\",NULL,\"NULL\",\"\",\"\xe2\x82\xac\"}"}},
        {"numeric(5,2)[]", {"{1.00,NULL}"}},
        {"timestamp with time zone[]", {"{infinity,\"2024-01-01 00:00:00+00\"}"}},
        {"bytea[]", {"{\"\\\\x00ff\",NULL}"}},
        {"jsonb[]", {"{\"{\\\"a\\\": [1, 2]}\"}"}},
        {"box[]", {"{(3,4),(1,2);(1,1),(0,0)}"}},
        {"int4range[]", {"{\"[1,3)\",empty}"}},
        {"public.mood[]",
         {"{sad,NULL,\"sehr gl\xc3\xbc"
          "cklich\"}",
          "{{sad},{ok}}"}},
        {"public.pair[]", {"{\"(1,\\\"a b\\\")\",NULL}"}},
        {"public.email[]", {"{a@b,NULL}"}},
        {"public.hstore[]", {"{\"\\\"a\\\"=>\\\"1\\\"\"}"}},
    };
    return kSamples;
}

}  // namespace millrace::integration
