/* requests.c: bodies as Open WebUI writes them; see world.h. */
#include "scenario/world.h"

#include <cJSON.h>
#include <stdio.h>

static const char *ask(const char *prompt, bool cap)
{
    static char out[262144];
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", "m");
    cJSON *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "role", "user");
    cJSON_AddStringToObject(message, "content", prompt);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(root, "messages"), message);
    cJSON_AddFalseToObject(root, "stream");
    if (cap) {
        cJSON_AddNumberToObject(root, "max_tokens", 1000);
    }
    char *text = cJSON_PrintUnformatted(root);
    snprintf(out, sizeof out, "%s", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return out;
}

const char *ask_autocomplete(const char *text)
{
    static char prompt[131072];
    snprintf(
        prompt, sizeof prompt,
        "### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the "
        "**completion type** in `<type>` and the given language.  \n\n"
        "### **Examples**:\n<type>general</type>  \n<text>The sun was setting</text>  \n"
        "---\n### Context:\n<chat_history>\n\n</chat_history>\n<type>general</type>  \n"
        "<text>%s</text>  \n#### Output:\n",
        text);
    return ask(prompt, false);
}

const char *ask_follow_up(const char *user, const char *reply)
{
    static char prompt[131072];
    snprintf(prompt, sizeof prompt,
             "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might "
             "naturally ask next in this conversation as a **user**, based on the chat history, to "
             "help continue or deepen the discussion.\n### Output:\nJSON format: { "
             "\"follow_ups\": [\"Question 1?\", \"Question 2?\", \"Question 3?\"] }\n"
             "### Chat History:\n<chat_history>\nUSER: %s\nASSISTANT: %s\n</chat_history>",
             user, reply);
    return ask(prompt, false);
}

const char *ask_query(const char *user)
{
    static char prompt[131072];
    snprintf(prompt, sizeof prompt,
             "### Task:\nAnalyze the chat history to determine the necessity of generating search "
             "queries.\n### Output:\nStrictly return in JSON format:\n{\"queries\": []}\n"
             "### Chat History:\n<chat_history>\nUSER: %s\n</chat_history>\n",
             user);
    return ask(prompt, false);
}

const char *ask_chat(const char *const *turns)
{
    static char out[262144];
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", "m");
    cJSON *list = cJSON_AddArrayToObject(root, "messages");
    for (size_t i = 0; turns[i] != NULL; i++) {
        cJSON *message = cJSON_CreateObject();
        cJSON_AddStringToObject(message, "role", i % 2 == 0 ? "user" : "assistant");
        cJSON_AddStringToObject(message, "content", turns[i]);
        cJSON_AddItemToArray(list, message);
    }
    cJSON_AddTrueToObject(root, "stream");
    char *text = cJSON_PrintUnformatted(root);
    snprintf(out, sizeof out, "%s", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return out;
}

const char *ask_title(const char *user, const char *reply)
{
    static char prompt[131072];
    snprintf(prompt, sizeof prompt,
             "### Task:\nGenerate a concise title summarizing the chat history.\n"
             "### Output:\nJSON format: { \"title\": \"your concise title here\" }\n"
             "### Chat History:\n<chat_history>\nUSER: %s\nASSISTANT: %s\n</chat_history>",
             user, reply);
    return ask(prompt, true);
}
