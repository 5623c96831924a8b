# What Doxygen reads of a header: its // comments, which are the documentation, as /// comments. A text line's angle brackets
# and hashes are literal; lines indented by three spaces or more are code.
FNR == 1 && /^\/\// { print "/// @file" }
/^ *\/\/( |$)/ {
    indent = $0
    sub(/\/\/.*/, "", indent)
    text = $0
    sub(/^ *\/\//, "", text)
    if (text ~ /^ ---/) { print ""; next }                      # a rule between parts of a file
    if (text ~ /^   /) { print indent "///  " text; next }
    gsub(/\\/, "\\\\", text)
    gsub(/</, "\\\\<", text)
    gsub(/>/, "\\\\>", text)
    gsub(/#/, "\\\\#", text)
    gsub(/@/, "\\\\@", text)
    print indent "///" text
    next
}
{ print }
