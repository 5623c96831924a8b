# Relative links of Markdown files: the file must exist, and the heading where there is an anchor. Run from the repository's root:
#   awk -f cmake/check_links.awk FILES FILES     (twice the same: headings are collected first)
# Prints what does not resolve, and fails.
FNR == 1 { ++number; code = 0; pass = number > (ARGC - 1) / 2 ? 2 : 1 }
/^ *```/ { code = !code; next }
code { next }

# The anchor that a heading gets: lower case, without punctuation, a hyphen for a space, a number where it is not the first.
pass == 1 && /^#+ / {
    slug = $0
    sub(/^#+ +/, "", slug)
    slug = tolower(slug)
    gsub(/[][!"#$%&'()*+,.\/:;<=>?@\\^`{|}~]/, "", slug)
    gsub(/ /, "-", slug)
    key = FILENAME "#" slug
    if (key in seen) key = key "-" seen[key]++
    else seen[key] = 1
    anchors[key]
}

pass == 2 {
    rest = $0
    gsub(/`[^`]*`/, "", rest)
    while (match(rest, /\]\([^()]*(\([^()]*\)[^()]*)*\)/)) {
        target = substr(rest, RSTART + 2, RLENGTH - 3)
        rest = substr(rest, RSTART + RLENGTH)
        if (target ~ /^[a-z]+:/) continue  # elsewhere
        anchor = ""
        path = target
        if ((at = index(target, "#")) > 0) {
            anchor = substr(target, at + 1)
            path = substr(target, 1, at - 1)
        }
        folder = FILENAME
        if (!sub(/\/[^\/]*$/, "/", folder)) folder = ""
        path = path == "" ? FILENAME : folder path
        while (sub(/(^|\/)\.\//, "/", path) || sub(/[^\/]+\/\.\.\//, "", path)) {}
        ++links
        if (path ~ /['"$`\\]/ || system("test -e '" path "'") != 0)
            wrong("no such file")
        else if (anchor != "" && !((path "#" anchor) in anchors))
            wrong("no such heading")
    }
}
function wrong(what) {
    print FILENAME ":" FNR ": " target ": " what > "/dev/stderr"
    bad = 1
}
END {
    if (!bad) print links " links resolve"
    exit bad
}
