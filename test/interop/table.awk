# Makes priv/doc/interop.md of result files (see tb_report.erl): a table for each
# suite, a row for each case, a column for each file, named after it. Titles of
# the suite of two releases begin with the pair, and those of Elixir with theirs,
# which is the column there.
function column_of(file) {
    sub(/.*\//, "", file)
    sub(/\.txt$/, "", file)
    if (file in titles) return titles[file]
    if (file ~ /^otp[0-9]+$/) return "OTP " substr(file, 4)
    return file
}
function add(suite, row, column, result) {
    if (!(suite in rows)) suites[++n_suites] = suite
    if (!((suite, row) in has_row)) {
        has_row[suite, row] = 1
        row_name[suite, ++rows[suite]] = row
    }
    if (!((suite, column) in has_column)) {
        has_column[suite, column] = 1
        column_name[suite, ++columns[suite]] = column
    }
    # a case that runs more than once has passed if it always has
    if (cell[suite, row, column] != "failed") cell[suite, row, column] = result
}
function markdown(text) {
    gsub(/[|\\`*_<]/, "\\\\&", text)
    return text
}
function print_table(suite,    r, c, line, rule) {
    line = "| " (suite in suite_title ? suite_title[suite] : suite) " |"
    rule = "| --- |"
    for (c = 1; c <= columns[suite]; c++) {
        line = line " " column_name[suite, c] " |"
        rule = rule " :-: |"
    }
    print ""
    print line
    print rule
    for (r = 1; r <= rows[suite]; r++) {
        line = "| " markdown(row_name[suite, r]) " |"
        for (c = 1; c <= columns[suite]; c++)
            line = line " " mark[cell[suite, row_name[suite, r], column_name[suite, c]]] " |"
        print line
    }
}
BEGIN {
    FS = "\t"
    titles["tls1.2"] = "TLS 1.2"
    titles["tls1.3"] = "TLS 1.3"
    titles["inet6"] = "IPv6"
    titles["noepmd"] = "no epmd"
    mark["passed"] = "✓"
    mark["failed"] = "✗"
    mark["skipped"] = "–"
    suite_title["tb_table_tests"] = "From a BEAM node"
    suite_title["tb_race_tests"] = "Races"
    suite_title["tb_pg_tests"] = "pg"
    suite_title["tb_host_tests"] = "Hosts of supervisors"
    suite_title["tb_supervisor_tests"] = "Supervisors"
    suite_title["tb_options_tests"] = "Options of supervisors"
    suite_title["tb_elixir_test"] = "Elixir: supervisors"
    suite_title["tb_genserver_test"] = "Elixir: the rest"
    suite_title["tb_migration_test"] = "Elixir: the guide for those who come"
    suite_title["tb_mixed_tests"] = "Two releases in one cluster"
}
FNR == 1 && base == "" { base = column_of(FILENAME) }
{
    row = $2
    column = column_of(FILENAME)
    if (match(row, /^OTP [0-9]+ and [0-9]+: /)) {
        column = substr(row, 5, RLENGTH - 6)
        sub(/ and /, ", ", column)
        row = substr(row, RLENGTH + 1)
    } else if (match(row, /^Elixir [0-9.]+, OTP [0-9]+: /)) {
        column = substr(row, 1, RLENGTH - 2)
        row = substr(row, RLENGTH + 1)
    }
    add($1, row, column, $3)
}
END {
    print "# Interop"
    print ""
    print "Made by `make interop-doc`: cases of the suites in `test/interop`, run by real"
    print "BEAM nodes against the daemon. The releases are over TCP with epmd; the other"
    print "columns are " base " again. ✓ passed, ✗ failed, – skipped, empty: has no such case."
    print "Those of supervisors make the same calls to a local `supervisor` or"
    print "`DynamicSupervisor` of that release, and compare."
    print "OTP 26 and later do not connect to OTP 23; in one cluster they meet in the daemon"
    print "alone."
    for (s = 1; s <= n_suites; s++) print_table(suites[s])
}
