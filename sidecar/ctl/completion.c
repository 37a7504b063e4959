/* completion.c: lullctl completion bash|zsh|fish: a script for the shell, made from the tables of
 * verbs, options, kinds and outcomes, so that it cannot fall behind them.
 *
 * All three shells get the same words: a list for each place where a word may stand. The words of
 * `set` are the keys that a running daemon takes; upstreams are only known by name where one is
 * called default. */
#include "ctl/ctl.h"

#include "lull/config/kinds.h"
#include "lull/config/options.h"

#include <stdio.h>

static void print_verbs(void)
{
    for (size_t i = 0; verbs_name(i) != NULL; i++) {
        printf("%s%s", i > 0 ? " " : "", verbs_name(i));
    }
}

static void print_kinds(void)
{
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        printf("%s%s", i > 0 ? " " : "", kind_info((enum kind_id)i)->name);
    }
}

static void print_outcomes(void)
{
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        printf("%s%s", i > 0 ? " " : "", outcome_name((enum outcome)i));
    }
}

/* "PREFIXkey=" for each key of the section that a running daemon takes. */
static void print_section(const char *prefix, enum section section)
{
    for (size_t i = 0; i < option_count; i++) {
        if (section_has(section, &options[i]) && options[i].reload && !options[i].absent) {
            printf(" %s%s=", prefix, options[i].key);
        }
    }
}

/* The same of a built-in kind, whose class is fixed. */
static void print_kind(const struct kind_info *kind)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (kind_has(kind, o) && o->type != TYPE_CLASS && o->reload && !o->absent) {
            printf(" task.%s.%s=", kind->name, o->key);
        }
    }
}

static void print_keys(void)
{
    print_section("server.", SECTION_SERVER);
    print_section("upstream.default.", SECTION_UPSTREAM);
    print_section("tasks.", SECTION_TASKS);
    print_section("cache.", SECTION_CACHE);
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        print_kind(kind_info((enum kind_id)i));
    }
}

static const char OPTIONS[] = "--socket --json --help --version";
static const char CONDITIONS[] = "kind= scope= model= older=";

/* "words" of each verb, as cases of a shell: VERB) words="..." ;; */
static void print_cases(void)
{
    printf("    set) words=\"");
    print_keys();
    printf("\" ;;\n"
           "    ls) words=\"%s limit= after=\" ;;\n"
           "    purge) words=\"%s all=yes\" ;;\n"
           "    tail) words=\"--kind --outcome --slow --json\" ;;\n"
           "    compare) words=\"--kind --model --prefix --last --show --yes-send-stored-requests "
           "--json\" ;;\n"
           "    report) words=\"--days --by --csv --json\" ;;\n"
           "    config) words=\"--changed --json\" ;;\n"
           "    pause) words=\"30s 60s 5m\" ;;\n"
           "    completion) words=\"bash zsh fish\" ;;\n"
           "    *) words=\"--json\" ;;\n",
           CONDITIONS, CONDITIONS);
}

static void print_bash(void)
{
    printf(
        "# bash completion for lullctl: source it, or put it into bash-completion's folder\n"
        "_lullctl() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= words= i\n"
        "    COMPREPLY=()\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        case ${COMP_WORDS[i]} in\n"
        "        --socket | -s) ((i++)) ;;\n"
        "        -*) ;;\n"
        "        *) verb=${COMP_WORDS[i]}; break ;;\n"
        "        esac\n"
        "    done\n"
        "    case $prev in\n"
        "    --kind | --last-miss) mapfile -t COMPREPLY < <(compgen -W \"");
    print_kinds();
    printf("\" -- \"$cur\"); return ;;\n"
           "    --outcome) mapfile -t COMPREPLY < <(compgen -W \"");
    print_outcomes();
    printf("\" -- \"$cur\"); return ;;\n"
           "    --by) mapfile -t COMPREPLY < <(compgen -W \"user kind\" -- \"$cur\"); return ;;\n"
           "    --socket | -s) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
           "    esac\n"
           "    case $verb in\n"
           "    '') words=\"");
    print_verbs();
    printf(
        " %s\" ;;\n"
        "    explain)\n"
        "        [[ $cur != -* ]] && mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") && return\n"
        "        words=\"--last-miss --all --json\" ;;\n",
        OPTIONS);
    print_cases();
    printf("    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
           "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
           "    return 0\n"
           "}\n"
           "complete -F _lullctl lullctl\n");
}

static void print_zsh(void)
{
    printf("#compdef lullctl\n"
           "# zsh completion for lullctl: put it as _lullctl into a folder of $fpath\n"
           "local verb= words i\n"
           "local -a list\n"
           "list=(${words[@]})\n"
           "for ((i = 2; i < CURRENT; i++)); do\n"
           "    case ${list[i]} in\n"
           "    --socket | -s) ((i++)) ;;\n"
           "    -*) ;;\n"
           "    *) verb=${list[i]}; break ;;\n"
           "    esac\n"
           "done\n"
           "case ${list[CURRENT-1]} in\n"
           "--kind | --last-miss) compadd -- ");
    print_kinds();
    printf("; return ;;\n--outcome) compadd -- ");
    print_outcomes();
    printf("; return ;;\n--by) compadd -- user kind; return ;;\n--socket | -s) _files; return "
           ";;\nesac\n"
           "case $verb in\n"
           "    '') words=\"");
    print_verbs();
    printf(" %s\" ;;\n    explain)\n"
           "        [[ $PREFIX != -* ]] && { _files; return; }\n"
           "        words=\"--last-miss --all --json\" ;;\n",
           OPTIONS);
    print_cases();
    printf("esac\n"
           "for i in ${=words}; do\n"
           "    if [[ $i == *= ]]; then compadd -S '' -- $i; else compadd -- $i; fi\n"
           "done\n");
}

static void print_fish(void)
{
    printf("# fish completion for lullctl: put it as lullctl.fish into ~/.config/fish/completions\n"
           "complete -c lullctl -f\n"
           "complete -c lullctl -n __fish_use_subcommand -a '");
    print_verbs();
    printf("'\n"
           "complete -c lullctl -l socket -r -F -d 'control socket'\n"
           "complete -c lullctl -l json -d 'the JSON of the daemon'\n"
           "complete -c lullctl -l help\n"
           "complete -c lullctl -l version\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from tail compare' -l kind -x -a '");
    print_kinds();
    printf("'\ncomplete -c lullctl -n '__fish_seen_subcommand_from tail' -l outcome -x -a '");
    print_outcomes();
    printf("'\ncomplete -c lullctl -n '__fish_seen_subcommand_from tail' -l slow -x\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from compare' -l model -x\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from compare' -l last -x\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from compare' -l show\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from compare' -l prefix\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from config' -l changed\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from report' -l days -x\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from report' -l by -x -a 'user kind'\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from report' -l csv\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from explain' -F\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from explain' -l all\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from explain' -l last-miss -x -a '");
    print_kinds();
    printf("'\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from ls purge' -a '%s'\n"
           "complete -c lullctl -n '__fish_seen_subcommand_from set' -a '",
           CONDITIONS);
    print_keys();
    printf("'\n");
}

int ctl_completion(const struct ctl *ctl)
{
    const char *shell = ctl->arguments[0];
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else if (strcmp(shell, "fish") == 0) {
        print_fish();
    } else {
        fprintf(stderr, "lullctl: completion knows bash, zsh and fish\n");
        return CTL_USAGE;
    }
    return CTL_DONE;
}
